// What Go's crypto/x509, by which most CAs read, makes of CSRs: one in hex a line, one JSON object a line.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
)

type reading struct {
	Error       string   `json:"error,omitempty"`
	DNS         []string `json:"dns"`
	IPs         []string `json:"ips"`
	Others      int      `json:"others"`
	CommonNames []string `json:"commonNames"`
}

func read(line string) reading {
	der, err := hex.DecodeString(line)
	if err != nil {
		return reading{Error: err.Error()}
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return reading{Error: err.Error()}
	}
	found := reading{DNS: []string{}, IPs: []string{}, CommonNames: []string{}, Others: len(csr.EmailAddresses) + len(csr.URIs)}
	for _, name := range csr.DNSNames {
		found.DNS = append(found.DNS, hex.EncodeToString([]byte(name)))
	}
	for _, ip := range csr.IPAddresses {
		found.IPs = append(found.IPs, hex.EncodeToString(ip))
	}
	if csr.Subject.CommonName != "" {
		found.CommonNames = []string{hex.EncodeToString([]byte(csr.Subject.CommonName))}
	}
	return found
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	answers := json.NewEncoder(out)
	for lines.Scan() {
		if err := answers.Encode(read(lines.Text())); err != nil {
			panic(err)
		}
	}
}
