package bundle

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Evidence is what a bundle is made of.
type Evidence struct {
	Zone  string
	Cause Cause
	// Status is the VMM at its end, with its events; nil if there was none.
	Status *vmm.Status
	// Log is the end of the log of the zone's server.
	Log []byte
	// Console is the end of the console of the zone's guest.
	Console []byte
	// Dir is a directory whose files were collected before the end; empty for none.
	Dir string
}

const (
	metadataName = "metadata.toml"
	// maxHead bounds what is read of an archive to find its metadata, in bytes.
	maxHead = 64 << 10
	// maxMetadata bounds the metadata itself.
	maxMetadata = 4 << 10
)

// header is the form of metadata.toml. Its time is text, as in the reference.
type header struct {
	ID      ID     `toml:"id"`
	Created string `toml:"time_created"`
	Version uint8  `toml:"version"`
	Cause   Cause  `toml:"cause"`
}

// pack writes an archive.
func pack(w io.Writer, m Metadata, e Evidence) error {
	head, err := toml.Marshal(header{m.ID, m.Created.Format(time.RFC3339Nano), m.Version, m.Cause})
	if err != nil {
		return err
	}
	zipped, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
	archive := tar.NewWriter(zipped)
	add := func(name string, data []byte) {
		if err != nil || len(data) == 0 {
			return
		}
		err = archive.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o600, ModTime: m.Created})
		if err == nil {
			_, err = archive.Write(data)
		}
	}
	add(metadataName, head)
	if e.Status != nil {
		status, bad := json.MarshalIndent(e.Status, "", "  ")
		err = errors.Join(err, bad)
		add("status.json", status)
	}
	add("server.log", e.Log)
	add("console.log", e.Console)
	if e.Dir != "" {
		collected(e.Dir, add)
	}
	return errors.Join(err, archive.Close(), zipped.Close())
}

// unpack reads the metadata from the beginning of an archive, which must be of that id.
func unpack(r io.Reader, id ID) (Metadata, error) {
	zipped, err := gzip.NewReader(io.LimitReader(r, maxHead))
	if err != nil {
		return Metadata{}, err
	}
	archive := tar.NewReader(io.LimitReader(zipped, maxHead))
	first, err := archive.Next()
	if err != nil {
		return Metadata{}, err
	}
	if first.Name != metadataName || first.Size > maxMetadata {
		return Metadata{}, fmt.Errorf("it begins with %.64q of %d bytes", first.Name, first.Size)
	}
	text, err := io.ReadAll(archive)
	if err != nil {
		return Metadata{}, err
	}
	var h header
	if err := toml.Unmarshal(text, &h); err != nil {
		return Metadata{}, err
	}
	created, err := time.Parse(time.RFC3339Nano, h.Created)
	switch {
	case err != nil:
		return Metadata{}, err
	case h.ID != id:
		return Metadata{}, fmt.Errorf("its metadata is that of %.64q", h.ID.Bundle.String()+" of "+h.ID.Zone)
	case !slices.Contains(causes, h.Cause):
		return Metadata{}, fmt.Errorf("its cause is %.32q", h.Cause)
	}
	return Metadata{ID: id, Created: created.UTC(), Version: h.Version, Cause: h.Cause}, nil
}
