package qemu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
)

// A probe that is cut off chooses nothing.
func TestProbeCutOff(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	accel, err := Accelerator(ctx, Options{Program: program, Dir: t.TempDir(), Accel: "auto"}, zerolog.Nop())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %q, %v", accel, err)
	}
}
