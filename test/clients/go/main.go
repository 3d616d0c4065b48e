// Clients that Go has as libraries, as small commands: what a test asks of an ACME client, and nothing else.
//
//	clients lego|xcrypto register|issue|renew|revoke|key-change|replace-when-told [NAME…]
//
// All that a client keeps is in the working directory: account.key, account.url, cert.pem, key.pem. The environment
// says where the server is: ACME_DIRECTORY, ACME_CA_FILE, EAB_KID and EAB_KEY (base64url).
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

type client interface {
	register(ctx context.Context) error
	issue(ctx context.Context, names []string) error
	renew(ctx context.Context, names []string) error
	revoke(ctx context.Context) error
	changeKey(ctx context.Context) error
}

// Only some have it: RFC 9773.
type renewalInformed interface {
	replaceWhenTold(ctx context.Context) error
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: clients lego|xcrypto COMMAND [NAME…]")
	}
	ctx := context.Background()
	one, err := open(args[0])
	if err != nil {
		return err
	}
	switch names := args[2:]; args[1] {
	case "register":
		return one.register(ctx)
	case "issue":
		return one.issue(ctx, names)
	case "renew":
		return one.renew(ctx, names)
	case "revoke":
		return one.revoke(ctx)
	case "key-change":
		return one.changeKey(ctx)
	case "replace-when-told":
		informed, ok := one.(renewalInformed)
		if !ok {
			return fmt.Errorf("%s knows no renewal information", args[0])
		}
		return informed.replaceWhenTold(ctx)
	}
	return fmt.Errorf("unknown command: %s", args[1])
}

func open(name string) (client, error) {
	switch name {
	case "lego":
		return openLego()
	case "xcrypto":
		return openXCrypto()
	}
	return nil, fmt.Errorf("unknown client: %s", name)
}

const (
	accountKeyFile = "account.key"
	accountURLFile = "account.url"
	certFile       = "cert.pem"
	keyFile        = "key.pem"
)

// accountKey reads the account's key, or makes it.
func accountKey() (crypto.Signer, error) {
	key, err := readKey(accountKeyFile)
	if !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	return makeKey(accountKeyFile)
}

func readKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return key.(crypto.Signer), nil
}

func makeKey(file string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return key, os.WriteFile(file, text, 0o600)
}

func accountURL() string {
	url, _ := os.ReadFile(accountURLFile)
	return strings.TrimSpace(string(url))
}

func keepAccountURL(url string) error {
	return os.WriteFile(accountURLFile, []byte(url+"\n"), 0o600)
}

// leaf is the first certificate of cert.pem.
func leaf() (*x509.Certificate, error) {
	text, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM", certFile)
	}
	return x509.ParseCertificate(block.Bytes)
}
