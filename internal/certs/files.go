package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxFile is the maximum size of a file in bytes.
const maxFile = 1 << 20

// A FileError is a file that cannot be used.
type FileError struct {
	// Part is the name of the file's field in Files, in lower case.
	Part string
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.Part + " " + e.Path + ": " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// rawFiles are the files' bytes; nil without a path.
type rawFiles struct{ cert, key, ca []byte }

func (r rawFiles) sum() [sha256.Size]byte {
	var all []byte
	for _, data := range [][]byte{r.cert, r.key, r.ca} {
		sum := sha256.Sum256(data)
		all = append(all, sum[:]...)
	}
	return sha256.Sum256(all)
}

func (f Files) read() (raw rawFiles, err error) {
	for _, file := range []struct {
		part, path string
		to         *[]byte
	}{{"cert", f.Cert, &raw.cert}, {"key", f.Key, &raw.key}, {"ca", f.CA, &raw.ca}} {
		if file.path == "" {
			continue
		}
		if *file.to, err = readFile(file.path); err != nil {
			if pathErr, ok := errors.AsType[*os.PathError](err); ok {
				err = pathErr.Err
			}
			return raw, &FileError{file.part, file.path, err}
		}
	}
	return raw, nil
}

// readFile reads a regular file. A pipe without a writer does not block it.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file: %s", info.Mode())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	return data, err
}

func (f Files) parse(raw rawFiles) (*contents, error) {
	c := new(contents)
	if f.CA != "" {
		all, err := certificates(raw.ca)
		if err != nil {
			return nil, &FileError{"ca", f.CA, err}
		}
		c.pool = x509.NewCertPool()
		for _, cert := range all {
			c.pool.AddCert(cert)
		}
	}
	if f.Cert == "" {
		return c, nil
	}
	if _, err := certificates(raw.cert); err != nil {
		return nil, &FileError{"cert", f.Cert, err}
	}
	pair, err := tls.X509KeyPair(raw.cert, raw.key)
	if err != nil {
		return nil, &FileError{"key", f.Key, err}
	}
	c.cert = &pair
	return c, nil
}

// certificates parses all certificates of a PEM file.
func certificates(data []byte) (all []*x509.Certificate, err error) {
	for len(bytes.TrimSpace(data)) > 0 {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, errors.New("holds no certificate in PEM")
	}
	return all, nil
}
