package kstat

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// maxOutput is far more than the kstats of a full sled: 100 bytes for each of
// the statistics of 1,000 zones and of 1,000 VMs with 64 virtual CPUs.
const maxOutput = 64 << 20

// In returns a Runner of the commands in these directories, separated by colons
// as in PATH. A command gets no environment and no input, and is killed when its
// context ends; one that survives that keeps the Runner's caller waiting.
func In(path string) Runner {
	return func(ctx context.Context, name string, args ...string) ([]byte, error) {
		program, err := find(path, name)
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, program, args...)
		var out, errOut capped
		out.left, errOut.left = maxOutput, 1<<10
		cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = []string{"LC_ALL=C"}, "/", &out, &errOut
		cmd.WaitDelay = time.Second
		err = cmd.Run()
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("run %s: %w", program, context.Cause(ctx))
		case err != nil:
			return nil, fmt.Errorf("run %s: %w: %s", program, err, strings.TrimSpace(string(errOut.data)))
		case out.over:
			return nil, fmt.Errorf("run %s: more than %d bytes of output", program, maxOutput)
		}
		return out.data, nil
	}
}

func find(path, name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		program := filepath.Join(dir, name)
		if st, err := os.Stat(program); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0 {
			return program, nil
		}
	}
	return "", fmt.Errorf("find %s in %s: %w", name, path, exec.ErrNotFound)
}

// capped keeps what is written to it until there is no room left.
type capped struct {
	data []byte
	left int
	over bool
}

func (c *capped) Write(b []byte) (int, error) {
	kept := b[:min(len(b), c.left)]
	c.data, c.left, c.over = append(c.data, kept...), c.left-len(kept), c.over || len(kept) < len(b)
	return len(b), nil
}
