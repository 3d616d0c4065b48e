#!/usr/bin/env bash
# A whole order by hand, with nothing but `quarry acme`, a shell and a folder that a web server serves: the commands of
# concorde's README in the order in which they are needed. $server is the CA's directory, $webroot what is served at
# /.well-known/acme-challenge/.
set -euo pipefail

# What stands behind `Order: ` and the like in an answer; and a member of the JSON below it.
id() { sed -n "s/^$1: //p"; }
member() { sed -n "s/^ *\"$1\": \"\(.*\)\",\{0,1\}$/\1/p" | head -n 1; }

quarry acme keys create account.pem
account=$(quarry acme unreg account.pem "$server" create --contact admin@example.org | id Account)
[ "$(quarry acme unreg account.pem "$server" status | id Account)" = "$account" ]
[ "$(quarry acme unreg account.pem "$server" status --account-id "$account" | id Account)" = "$account" ]
reg() { quarry acme reg account.pem "$account" "$server" "$@"; }

reg acct status | tee acct-status.txt
reg acct update --contact ops@example.org >/dev/null
reg acct update | tee acct-update.txt # changes nothing

order=$(reg order create 'dns|example.org' 'dns|www.example.org' | tee order.txt | id Order)
[ "$(reg order status "$order" | member status)" = pending ]

wait_for() { until [ "$(reg order status "$order" | member status)" = "$1" ]; do sleep 0.2; done; }

# By turns, as a CA may list the authorizations in another order each time: those that are proven are passed over.
turn=0
until [ "$(reg order status "$order" | member status)" = ready ]; do
  reg order get-authz "$order" $((turn++ % 2)) >authz.txt
  # One object a line, then the one that is wanted: the challenge's URL may stand before or after its type.
  challenge=$(tr -d '\n' <authz.txt | grep -o '{[^{}]*}' | grep '"type": "http-01"' | grep -o '"url": "[^"]*"' | cut -d'"' -f4)
  [ "$(reg challenge "$challenge" status | tee challenge.txt | member status)" = pending ] || continue
  token=$(member token <challenge.txt)
  reg challenge "$challenge" authorize | id 'Key authorization' >"$webroot/$token"
  reg challenge "$challenge" validate >validate.txt
done

quarry acme key create example.org.pem
reg order finalize "$order" example.org.pem example.org www.example.org >finalize.txt
wait_for valid
reg order get-cert "$order" >chain.pem

# What concorde has no command for.
reg order list | tee list.txt
reg cert renewal-info chain.pem | tee renewal-info.txt
reg cert revoke chain.pem --reason superseded | tee revoke.txt
reg cert revoke chain.pem | tee revoke-again.txt
quarry acme key create new.pem
reg acct rollover new.pem >rollover.txt
! reg acct status 2>old-key.txt
quarry acme reg new.pem "$account" "$server" acct deactivate | tee deactivate.txt
printf '%s\n%s\n' "$account" "$order" >ids.txt
