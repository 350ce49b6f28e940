package report

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// maxPart and maxTotal bound a part and all together, in bytes before compression.
	maxPart  = 8 << 20
	maxTotal = 64 << 20
	// partBudget bounds a part, agentBudget all that the agent is asked.
	partBudget  = 5 * time.Second
	agentBudget = 45 * time.Second
)

// A Part is one file of a report.
type Part struct {
	Name string `json:"name"`
	What string `json:"what"`
	Size int    `json:"size"`
	// Missing says why the file is not there or not whole.
	Missing string `json:"missing,omitempty"`

	content []byte
}

// A Report is what was gathered.
type Report struct {
	Parts []Part
	total int
}

// add adds a part. What exceeds the limits is left out.
func (r *Report) add(name, what string, content []byte, err error) {
	p := Part{Name: name, What: what}
	if err != nil {
		p.Missing = err.Error()
	}
	if room := min(maxPart, maxTotal-r.total); len(content) > room {
		content, p.Missing = content[:room], fmt.Sprintf("cut after %d of %d bytes", room, len(content))
	}
	p.content, p.Size = content, len(content)
	r.total += p.Size
	r.Parts = append(r.Parts, p)
}

// Miss notes that something is missing that has no part.
func (r *Report) Miss(name string, why error) { r.add(name, "", nil, why) }

// Missing lists the parts that are not there or not whole.
func (r *Report) Missing() (all []Part) {
	for _, p := range r.Parts {
		if p.Missing != "" {
			all = append(all, p)
		}
	}
	return all
}

// Write writes the report as a compressed tar archive, with all files in one directory.
func (r *Report) Write(w io.Writer, dir string, made time.Time) error {
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	readme := []byte(r.readme(made))
	for _, p := range append([]Part{{Name: "README.txt", Size: len(readme), content: readme}}, r.Parts...) {
		if p.Size == 0 {
			continue
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: dir + "/" + p.Name, Mode: 0o600, Size: int64(p.Size), ModTime: made}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if _, err := archive.Write(p.content); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := zipped.Close(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

const readmeHead = `A report of a sled-agent, made by "sledctl report" at %s.

It has the ids, names and addresses of VMMs, and the addresses of the host and of Nexus.
It has no memory and no disk of a guest, no keys and no certificates. Passwords, tokens and
the like are masked where they were recognised; look through log/ before you pass it on.

`

func (r *Report) readme(made time.Time) string {
	wide := 0
	for _, p := range r.Parts {
		wide = max(wide, len(p.Name))
	}
	var text strings.Builder
	fmt.Fprintf(&text, readmeHead, made.UTC().Format(time.RFC3339))
	if missing := r.Missing(); len(missing) > 0 {
		text.WriteString("Missing or not whole:\n\n")
		for _, p := range missing {
			fmt.Fprintf(&text, "  %-*s  %s\n", wide, p.Name, strings.ReplaceAll(p.Missing, "\n", "; "))
		}
		text.WriteString("\n")
	}
	text.WriteString("Files:\n\n")
	for _, p := range r.Parts {
		if p.Size > 0 {
			fmt.Fprintf(&text, "  %-*s  %s\n", wide, p.Name, p.What)
		}
	}
	return text.String()
}

// within calls a function within partBudget, and does not wait for one that ignores it.
func within(ctx context.Context, do func(context.Context) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, partBudget, fmt.Errorf("no answer within %s", partBudget))
	defer cancel()
	type result struct {
		content []byte
		err     error
	}
	done := make(chan result, 1)
	go func() {
		content, err := do(ctx)
		done <- result{content, err}
	}()
	select {
	case r := <-done:
		if r.err != nil && ctx.Err() != nil {
			r.err = context.Cause(ctx)
		}
		return r.content, r.err
	case <-ctx.Done():
	}
	select { // do may have ended because ctx has
	case r := <-done:
		return r.content, context.Cause(ctx)
	case <-time.After(100 * time.Millisecond):
		return nil, context.Cause(ctx)
	}
}
