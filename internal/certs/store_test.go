package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/certs/certstest"
)

// shake makes a handshake over a pipe and returns the common names that each side has seen, or
// the server's error.
func shake(server, client *tls.Config) (serverSaw, clientSaw string, err error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	s, c := tls.Server(a, server), tls.Client(b, client)
	go func() {
		done <- c.Handshake()
		_, _ = c.Read(make([]byte, 1)) // the server's alert
	}()
	err = s.Handshake()
	if err != nil {
		_ = a.Close()
		<-done
		return "", "", err
	}
	if err := <-done; err != nil {
		return "", "", err
	}
	return s.ConnectionState().PeerCertificates[0].Subject.CommonName, c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	ca, other, dir := certstest.New(t), certstest.New(t), t.TempDir()
	pair := ca.Issue(t, "agent")
	s := New(Files{Cert: certstest.Write(t, dir, "cert", pair.Cert), Key: certstest.Write(t, dir, "key", pair.Key),
		CA: certstest.Write(t, dir, "ca", ca.PEM)}, zerolog.Nop())
	good := ca.Client(t, ca.Issue(t, "nexus"))
	if _, _, err := shake(s.Server(), good); !errors.Is(err, errNotLoaded) {
		t.Errorf("before Load: %v", err)
	}
	if _, err := s.Client("127.0.0.1"); !errors.Is(err, errNotLoaded) {
		t.Errorf("before Load: %v", err)
	}
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	if a, b, err := shake(s.Server(), good); a != "nexus" || b != "agent" || err != nil {
		t.Errorf("%q, %q, %v", a, b, err)
	}
	if c, err := s.Client("127.0.0.1"); err != nil {
		t.Error(err)
	} else if a, _, err := shake(s.Server(), c); a != "agent" || err != nil {
		t.Errorf("its own client: %q, %v", a, err)
	}
	old := good.Clone()
	old.MaxVersion = tls.VersionTLS12
	for want, c := range map[string]*tls.Config{
		"unsupported versions":         old,
		"didn't provide a certificate": {RootCAs: ca.Pool, ServerName: "127.0.0.1"},
		"expired":                      ca.Client(t, ca.Issue(t, "nexus", certstest.Expired)),
		"signed by unknown authority":  {RootCAs: ca.Pool, ServerName: "127.0.0.1", Certificates: other.Client(t, other.Issue(t, "nexus")).Certificates},
	} {
		if _, _, err := shake(s.Server(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	ca, dir := certstest.New(t), t.TempDir()
	one, two := ca.Issue(t, "one"), ca.Issue(t, "two")
	cert, key, root := certstest.Write(t, dir, "cert", one.Cert), certstest.Write(t, dir, "key", one.Key), certstest.Write(t, dir, "ca", ca.PEM)
	rubbish := certstest.Write(t, dir, "rubbish", []byte("rubbish"))
	for _, c := range []struct {
		files      Files
		part, want string
	}{
		{Files{dir + "/none", key, root}, "cert", "no such file"},
		{Files{cert, dir + "/none", root}, "key", "no such file"},
		{Files{cert, key, dir + "/none"}, "ca", "no such file"},
		{Files{dir, key, root}, "cert", "not a regular file"},
		{Files{rubbish, key, root}, "cert", "no certificate"},
		{Files{cert, rubbish, root}, "key", "PEM"},
		{Files{cert, key, rubbish}, "ca", "no certificate"},
		{Files{key, key, root}, "cert", "no certificate"},
		{Files{cert, certstest.Write(t, dir, "other", two.Key), root}, "key", "does not match"},
		{Files{certstest.Write(t, dir, "large", bytes.Repeat([]byte("a"), maxFile+1)), key, root}, "cert", "larger than"},
	} {
		err := New(c.files, zerolog.Nop()).Load()
		bad, ok := errors.AsType[*FileError](err)
		if !ok || bad.Part != c.part || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.files, err)
		}
	}
}

// Changed files are used from the next connection on. What cannot be used changes nothing, and is
// logged once.
func TestReload(t *testing.T) {
	t.Parallel()
	ca, dir := certstest.New(t), t.TempDir()
	one, two := ca.Issue(t, "one"), ca.Issue(t, "two")
	f := Files{Cert: certstest.Write(t, dir, "cert", one.Cert), Key: certstest.Write(t, dir, "key", one.Key), CA: certstest.Write(t, dir, "ca", ca.PEM)}
	client := ca.Client(t, ca.Issue(t, "nexus"))
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := New(f, zerolog.New(&log))
		if err := s.Load(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Watch(ctx) }()
		shows := func(want string) {
			t.Helper()
			time.Sleep(10 * checkEvery)
			if _, got, err := shake(s.Server(), client); got != want || err != nil {
				t.Errorf("shows %q, %v, want %q", got, err, want)
			}
		}
		logged := func(want int) {
			t.Helper()
			synctest.Wait()
			if got := strings.Count(log.String(), "last good ones"); got != want {
				t.Errorf("%d lines about files that cannot be used, want %d:\n%s", got, want, &log)
			}
		}
		shows("one")
		certstest.Write(t, dir, "cert", two.Cert) // not its key yet
		shows("one")
		logged(1)
		certstest.Write(t, dir, "key", two.Key)
		shows("two")
		if err := os.Remove(f.CA); err != nil {
			t.Fatal(err)
		}
		shows("two")
		logged(2)
		certstest.Write(t, dir, "ca", certstest.New(t).PEM)
		time.Sleep(2 * checkEvery)
		if _, _, err := shake(s.Server(), client); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("after the CA was replaced: %v", err)
		}
		cancel()
		<-done
	})
}

// A disk that hangs while the files are read again prevents no new listener.
func TestLoadedFilesAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := New(Files{}, zerolog.Nop())
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock() // as Watch does while it reads
	defer s.mu.Unlock()
	loaded := make(chan error, 1)
	go func() { loaded <- s.Load() }()
	select {
	case err := <-loaded:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("Load waits for the disk")
	}
}
