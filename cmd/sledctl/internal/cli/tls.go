package cli

import (
	"crypto/tls"
	"net/url"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/sledagent/sledagent/internal/certs"
)

// tlsFlags are the flags for a sled API that speaks TLS.
type tlsFlags struct{ cacert, cert, key, serverName string }

func (f *tlsFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.cacert, "cacert", "", "PEM `FILE` of the certificates that the sled API's is issued by (default: the host's)")
	flags.StringVar(&f.cert, "cert", "", "PEM `FILE` of the certificate to show to the sled API")
	flags.StringVar(&f.key, "key", "", "PEM `FILE` of its key")
	flags.StringVar(&f.serverName, "server-name", "", "the `NAME` in the sled API's certificate (default: the URL's host)")
}

// config returns the configuration for an API at a base URL; nil without any flag.
func (f *tlsFlags) config(base string) (*tls.Config, error) {
	if *f == (tlsFlags{}) {
		return nil, nil
	}
	if (f.cert == "") != (f.key == "") {
		return nil, fail(exitUsage, "--cert and --key belong together")
	}
	store := certs.New(certs.Files{Cert: f.cert, Key: f.key, CA: f.cacert}, zerolog.Nop())
	if err := store.Load(); err != nil {
		return nil, err
	}
	name := f.serverName
	if u, err := url.Parse(base); err == nil && name == "" {
		name = u.Hostname()
	}
	return store.Client(name)
}
