package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"golang.org/x/crypto/acme"
)

// The client of golang.org/x/crypto, which autocert is made of, and cert-manager's is a copy of.
type xCrypto struct{ *acme.Client }

func openXCrypto() (client, error) {
	key, err := accountKey()
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	text, err := os.ReadFile(os.Getenv("ACME_CA_FILE"))
	if err != nil {
		return nil, err
	}
	roots.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return &xCrypto{&acme.Client{
		Key:          key,
		DirectoryURL: os.Getenv("ACME_DIRECTORY"),
		HTTPClient:   &http.Client{Transport: transport},
		KID:          acme.KeyID(accountURL()),
	}}, nil
}

func (c *xCrypto) register(ctx context.Context) error {
	account := &acme.Account{Contact: []string{"mailto:admin@example.org"}}
	if kid := os.Getenv("EAB_KID"); kid != "" {
		key, err := base64.RawURLEncoding.DecodeString(os.Getenv("EAB_KEY"))
		if err != nil {
			return err
		}
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: kid, Key: key}
	}
	made, err := c.Register(ctx, account, acme.AcceptTOS)
	if errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil
	}
	if err != nil {
		return err
	}
	return keepAccountURL(made.URI)
}

func (c *xCrypto) issue(ctx context.Context, names []string) error {
	if err := c.register(ctx); err != nil {
		return err
	}
	template := &x509.CertificateRequest{}
	ids := []acme.AuthzID{}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			ids = append(ids, acme.IPIDs(name)...)
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			ids = append(ids, acme.DomainIDs(name)...)
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	order, err := c.AuthorizeOrder(ctx, ids)
	if err != nil {
		return err
	}
	if order, err = c.WaitOrder(ctx, order.URI); err != nil {
		return err
	}
	key, err := makeKey(keyFile)
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return err
	}
	chain, _, err := c.CreateOrderCert(ctx, order.FinalizeURL, csr, true)
	if err != nil {
		return err
	}
	return keepChain(chain)
}

func keepChain(chain [][]byte) error {
	text := []byte{}
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return os.WriteFile(certFile, text, 0o644)
}

func (c *xCrypto) renew(ctx context.Context, names []string) error { return c.issue(ctx, names) }

func (c *xCrypto) revoke(ctx context.Context) error {
	cert, err := leaf()
	if err != nil {
		return err
	}
	return c.RevokeCert(ctx, nil, cert.Raw, acme.CRLReasonUnspecified)
}

func (c *xCrypto) changeKey(ctx context.Context) error {
	key, err := makeKey("account.new")
	if err != nil {
		return err
	}
	if err := c.AccountKeyRollover(ctx, key); err != nil {
		return err
	}
	fmt.Println("the account has another key")
	return os.Rename("account.new", accountKeyFile)
}
