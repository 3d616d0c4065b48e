/** The configuration that macen's README shows, without its comments. */
export const macenReadme = `# macen main.ini
[account]
acme-server = https://acme-staging-v02.api.letsencrypt.org/directory
accept-terms-of-service = yes # or true

dir = /etc/macen/account/

[mgmt]
mgmt=192.0.2.13:1313
max-size = 4k
default-verification = http
default-storage = file

[verification "http"]
type = http01
listener=192.0.2.80:1380
listener=198.51.100.80:1380
listener=[fe80::80%eth0]:1380

[verification "dns"]
type = dns01-dnsUpdate
dns-server=192.0.2.53
ttl=5
timeout=30

[storage "none"]
type = none

[storage "file"]
type = file
directory=/etc/macen/storage
renew-within=14

[auth "mail"]
ip=192.0.2.0/24
ip=198.51.100.21
domain=mail.example.org
domain=mail.example.com

[auth "ext"]
ip=198.51.100.128/28
domain=*.test.example.org

[auth "mail-secure"]
verification = dns
storage = file
ip=198.51.100.21
hmac_type=sha256
hmac_key=A1YP67armNf3cBrecyJHdb035
domain=mail?.example.org
domain=mail.example.com
`;
