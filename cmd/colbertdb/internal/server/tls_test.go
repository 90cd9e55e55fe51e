package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/engine"
)

// certificate writes a certificate with a serial number, and its key, and returns it.
func certificate(t *testing.T, cert, key string, serial int64) *x509.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: b}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The server speaks TLS, takes a new certificate and new keys when their files change,
// and keeps the ones from before when the files are broken.
func TestTLSReloads(t *testing.T) {
	dir := t.TempDir()
	cert, key, keys := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "keys")
	first := certificate(t, cert, key, 1)
	secret := keyFile(t, keys, [3]string{"k", "ro", ""})["k"]
	db, err := engine.OpenMem(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.New(db, server.Options{Certificate: cert}); err == nil {
		t.Error("a certificate without key was taken")
	}
	s, err := server.New(db, server.Options{Certificate: cert, PrivateKey: key, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- s.Serve(running, l) }()
	// get returns the status and the serial number of the server's certificate.
	get := func(trusted *x509.Certificate, secret string) (int, int64) {
		t.Helper()
		roots := x509.NewCertPool()
		roots.AddCert(trusted)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
		defer client.CloseIdleConnections()
		r, err := http.NewRequest("GET", "https://"+l.Addr().String()+"/v1/collections", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+secret)
		resp, err := client.Do(r)
		if err != nil {
			return 0, 0
		}
		resp.Body.Close()
		return resp.StatusCode, resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if status, serial := get(first, secret); status != 200 || serial != 1 {
		t.Fatalf("status %d, serial %d", status, serial)
	}
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil {
		t.Error("a broken certificate was taken")
	}
	if status, serial := get(first, secret); status != 200 || serial != 1 {
		t.Fatalf("after a broken certificate: status %d, serial %d", status, serial)
	}
	second := certificate(t, cert, key, 2)
	renewed := keyFile(t, keys, [3]string{"k2", "ro", ""})["k2"]
	// The server sees the change by itself.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if status, serial := get(second, renewed); status == 200 && serial == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new certificate and key were never used")
		}
	}
	if status, _ := get(second, secret); status != 401 {
		t.Errorf("the old key: status %d", status)
	}
	plain, err := http.Get("http://" + l.Addr().String() + "/livez")
	if err == nil {
		plain.Body.Close()
		if plain.StatusCode == 200 {
			t.Error("it speaks without TLS too")
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
