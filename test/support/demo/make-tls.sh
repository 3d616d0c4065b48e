#!/bin/sh
# Makes, unless it is there, what Pebble of the demo (compose.yaml) shows to its clients: a CA whose key nobody keeps, and
# a certificate of it for the name `pebble`. The CA's certificate goes to Quarry, the rest to Pebble.
set -eu
cd /tmp

[ ! -e /tls/ca/ca.pem ] || exit 0

make() { # make NAME OPTION…
  name=$1
  shift
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -keyout "$name.key" -out "$name.pem" -subj "/CN=$name" "$@"
}
make demo-ca
make pebble -CA demo-ca.pem -CAkey demo-ca.key -addext basicConstraints=critical,CA:false \
  -addext subjectAltName=DNS:pebble,DNS:localhost,IP:127.0.0.1

# Pebble runs as another user than this script.
chmod 644 pebble.key
cp pebble.key pebble.pem /tls/key/
cp demo-ca.pem /tls/ca/ca.pem
