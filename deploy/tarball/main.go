// Command tarball packs a directory reproducibly: the same files make the same archive, byte
// for byte, on any machine and at any time. make uses it instead of tar, which differs between
// systems.
package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

func main() {
	out := flag.String("o", "", "the archive `FILE` to write (.tar.gz)")
	prefix := flag.String("prefix", "", "the `DIR` that everything in the archive is below")
	seconds := flag.Int64("time", 0, "every file's time, in `SECONDS` since the epoch")
	flag.Parse()
	if *out == "" || *prefix == "" || flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: tarball -o FILE -prefix DIR [-time SECONDS] DIR")
		os.Exit(2)
	}
	if err := write(*out, flag.Arg(0), *prefix, time.Unix(*seconds, 0)); err != nil {
		fmt.Fprintln(os.Stderr, "tarball:", err)
		os.Exit(1)
	}
}

func write(out, dir, prefix string, at time.Time) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return pack(f, dir, prefix, at)
}

// pack writes everything below dir, sorted by name, owned by root and with one modification
// time.
func pack(w io.Writer, dir, prefix string, at time.Time) error {
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return add(archive, dir, name, prefix, entry, at)
	})
	if err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

func add(archive *tar.Writer, dir, name, prefix string, entry fs.DirEntry, at time.Time) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	below, err := filepath.Rel(dir, name)
	if err != nil {
		return err
	}
	h := &tar.Header{Name: path.Join(prefix, filepath.ToSlash(below)), Mode: int64(info.Mode().Perm()),
		ModTime: at, Uname: "root", Gname: "root", Format: tar.FormatUSTAR}
	switch {
	case info.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		return archive.WriteHeader(h)
	case !info.Mode().IsRegular():
		return fmt.Errorf("pack %s: neither a file nor a directory", name)
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := archive.WriteHeader(h); err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(archive, f)
	return err
}
