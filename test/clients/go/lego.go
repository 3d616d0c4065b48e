package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certcrypto"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/lego"
	"github.com/go-acme/lego/v5/registration"
)

type legoUser struct {
	key     crypto.Signer
	account *acme.ExtendedAccount
}

func (u *legoUser) GetEmail() string                       { return "admin@example.org" }
func (u *legoUser) GetRegistration() *acme.ExtendedAccount { return u.account }
func (u *legoUser) GetPrivateKey() crypto.Signer           { return u.key }

type legoClient struct {
	user *legoUser
	*lego.Client
}

// lego reads LEGO_CA_CERTIFICATES by itself.
func openLego() (client, error) {
	if err := os.Setenv("LEGO_CA_CERTIFICATES", os.Getenv("ACME_CA_FILE")); err != nil {
		return nil, err
	}
	key, err := accountKey()
	if err != nil {
		return nil, err
	}
	user := &legoUser{key: key}
	if url := accountURL(); url != "" {
		user.account = &acme.ExtendedAccount{Location: url}
	}
	config := lego.NewConfig(user)
	config.CADirURL = os.Getenv("ACME_DIRECTORY")
	one, err := lego.NewClient(config)
	if err != nil {
		return nil, err
	}
	return &legoClient{user: user, Client: one}, nil
}

func (c *legoClient) register(ctx context.Context) (err error) {
	if c.user.account != nil {
		return nil
	}
	if kid := os.Getenv("EAB_KID"); kid != "" {
		c.user.account, err = c.Registration.RegisterWithExternalAccountBinding(ctx, registration.RegisterEABOptions{
			TermsOfServiceAgreed: true,
			Kid:                  kid,
			HmacEncoded:          os.Getenv("EAB_KEY"),
		})
	} else {
		c.user.account, err = c.Registration.Register(ctx, registration.RegisterOptions{TermsOfServiceAgreed: true})
	}
	if err != nil {
		return err
	}
	return keepAccountURL(c.user.account.Location)
}

func (c *legoClient) issue(ctx context.Context, names []string) error {
	if err := c.register(ctx); err != nil {
		return err
	}
	request := certificate.ObtainRequest{Domains: names, KeyType: certcrypto.EC256, Bundle: true}
	made, err := c.Certificate.Obtain(ctx, request)
	if err != nil {
		return err
	}
	return keep(made)
}

func keep(made *certificate.Resource) error {
	if err := os.WriteFile(keyFile, made.PrivateKey, 0o600); err != nil {
		return err
	}
	return os.WriteFile(certFile, made.Certificate, 0o644)
}

// renew says which certificate it replaces (RFC 9773, section 5).
func (c *legoClient) renew(ctx context.Context, names []string) error {
	old, err := os.ReadFile(certFile)
	if err != nil {
		return err
	}
	options := &certificate.RenewOptions{KeyType: certcrypto.EC256, Bundle: true, UseARICertID: true}
	made, err := c.Certificate.Renew(ctx, certificate.Resource{Domains: names, Certificate: old}, options)
	if err != nil {
		return err
	}
	return keep(made)
}

// replaceWhenTold asks for renewal information, as lego does before each renewal, until it says that it is time.
func (c *legoClient) replaceWhenTold(ctx context.Context) error {
	cert, err := leaf()
	if err != nil {
		return err
	}
	for range 600 {
		info, err := c.Certificate.GetRenewalInfo(ctx, cert)
		if err != nil {
			return err
		}
		if info.ShouldRenewAt(time.Now(), 0) != nil {
			fmt.Println("the server wants it renewed:", info.ExplanationURL)
			return c.renew(ctx, certcrypto.ExtractDomains(cert))
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("the window never began")
}

func (c *legoClient) revoke(ctx context.Context) error {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return err
	}
	return c.Certificate.Revoke(ctx, cert)
}

func (c *legoClient) changeKey(ctx context.Context) error {
	key, err := makeKey("account.new")
	if err != nil {
		return err
	}
	if err := c.Registration.KeyRollover(ctx, key); err != nil {
		return err
	}
	return os.Rename("account.new", accountKeyFile)
}
