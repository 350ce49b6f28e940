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
	example := flag.String("example", "", "pack this `FILE` of the directory as FILE.example")
	seconds := flag.Int64("time", 0, "every file's time, in `SECONDS` since the epoch")
	flag.Parse()
	if *out == "" || *prefix == "" || flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: tarball -o FILE -prefix DIR [-example FILE] [-time SECONDS] DIR")
		os.Exit(2)
	}
	content := content{dir: flag.Arg(0), prefix: *prefix, example: *example, at: time.Unix(*seconds, 0)}
	if err := write(*out, content); err != nil {
		fmt.Fprintln(os.Stderr, "tarball:", err)
		os.Exit(1)
	}
}

// content says what an archive contains: everything below dir, with names below prefix, sorted,
// owned by root and with one modification time. The file example, if it is there, gets another
// name, so that unpacking over an installation does not overwrite a configuration.
type content struct {
	dir, prefix, example string
	at                   time.Time
}

func write(out string, c content) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return c.pack(f)
}

func (c content) pack(w io.Writer) error {
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	err := filepath.WalkDir(c.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return c.add(archive, name, entry)
	})
	if err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

func (c content) add(archive *tar.Writer, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	below, err := filepath.Rel(c.dir, name)
	if err != nil {
		return err
	}
	if below == c.example {
		below += ".example"
	}
	h := &tar.Header{Name: path.Join(c.prefix, filepath.ToSlash(below)), Mode: int64(info.Mode().Perm()),
		ModTime: c.at, Uname: "root", Gname: "root", Format: tar.FormatUSTAR}
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
