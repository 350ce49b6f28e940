package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// checkEvery is the time between two readings of the files.
const checkEvery = 5 * time.Second

// Files are the paths of PEM files.
type Files struct {
	// Cert is a certificate with those of its issuers, Key its key. A client may have
	// neither.
	Cert, Key string
	// CA are the certificates that the other side's has to be issued by. If it is empty,
	// a client accepts those that the host trusts; a server has to have it.
	CA string
}

// A Store holds the certificates of Files. Its methods are safe for concurrent use.
type Store struct {
	files Files
	log   zerolog.Logger

	current atomic.Pointer[contents]
	mu      sync.Mutex
	seen    [sha256.Size]byte // of what was read last, good or not; guarded by mu
}

// contents are the parsed files.
type contents struct {
	cert *tls.Certificate // nil without one
	pool *x509.CertPool   // nil: the host's
}

// New returns a Store that holds nothing until Load.
func New(f Files, log zerolog.Logger) *Store { return &Store{files: f, log: log} }

// Load reads the files, unless they have been loaded before. Its error is a *FileError.
func (s *Store) Load() error {
	if s.current.Load() != nil {
		return nil // without the lock: Watch holds it while the disk hangs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read()
}

// NotAfter is when the certificate expires; zero without one.
func (s *Store) NotAfter() time.Time {
	if c := s.current.Load(); c != nil && c.cert != nil {
		return c.cert.Leaf.NotAfter
	}
	return time.Time{}
}

// Watch reads the files again and again until ctx ends, and uses them if they have changed.
func (s *Store) Watch(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	failing := ""
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if s.current.Load() == nil {
			continue // Load is repeated by its caller
		}
		s.mu.Lock()
		err := s.read()
		s.mu.Unlock()
		if err == nil {
			failing = ""
		} else if failing != err.Error() {
			failing = err.Error()
			s.log.Error().Err(err).Msg("TLS files cannot be used; the last good ones stay in use")
		}
	}
}

// read reads the files and makes them current if they are good and new. s.mu is held.
func (s *Store) read() error {
	raw, err := s.files.read()
	if err != nil {
		return err
	}
	if sum := raw.sum(); sum != s.seen || s.current.Load() == nil {
		c, err := s.files.parse(raw)
		if err != nil {
			return err
		}
		s.seen = sum
		s.current.Store(c)
		line := s.log.Info().Str("ca", s.files.CA)
		if c.cert != nil {
			line = line.Str("cert", s.files.Cert).Time("not_after", c.cert.Leaf.NotAfter)
		}
		line.Msg("TLS files are in use")
	}
	return nil
}

var errNotLoaded = errors.New("TLS files are not loaded yet")

// Server returns the configuration of a server that demands a certificate of each client.
func (s *Store) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := s.current.Load()
		if c == nil || c.cert == nil || c.pool == nil {
			return nil, errNotLoaded
		}
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*c.cert}, ClientCAs: c.pool,
			ClientAuth: tls.RequireAndVerifyClientCert, SessionTicketsDisabled: true}, nil
	}}
}

// Client returns the configuration for one connection to the server of this name.
func (s *Store) Client(server string) (*tls.Config, error) {
	c := s.current.Load()
	if c == nil {
		return nil, errNotLoaded
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: server, RootCAs: c.pool, SessionTicketsDisabled: true}
	if c.cert != nil {
		cfg.Certificates = []tls.Certificate{*c.cert}
	}
	return cfg, nil
}
