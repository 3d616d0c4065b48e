#!/bin/sh
# Keeps telling the demo's DNS server (challtestsrv, see compose.yaml) that every name leads to nginx: both may be started
# anew at any time, nginx with another address, the DNS server without memory.
set -u
trap 'exit 0' TERM INT

told=
while :; do
  address=$(getent ahostsv4 nginx | awk 'NR == 1 { print $1 }')
  pause=1
  if [ -n "$address" ] && curl -sSf --max-time 2 -d "{\"ip\":\"$address\"}" http://challtestsrv:8055/set-default-ipv4; then
    [ "$address" = "$told" ] || echo "every name now leads to nginx at $address"
    told=$address
    touch /tmp/told
    pause=10
  fi
  sleep $pause &
  wait $! # a signal interrupts it, but not a sleep
done
