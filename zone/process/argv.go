package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// command returns the command of the zone's server. Its first element is a path.
func (m *Manager) command(spec zone.Spec) ([]string, error) {
	fill := strings.NewReplacer(
		"{addr}", spec.Addr.String(),
		"{ip}", spec.Addr.Addr().String(),
		"{port}", strconv.Itoa(int(spec.Addr.Port())),
		"{zone}", spec.Name,
		"{root}", filepath.Join(m.zoneDir(spec.Name), zonedir.RootDir),
	)
	argv := make([]string, len(m.cfg.Argv))
	for i, arg := range m.cfg.Argv {
		argv[i] = fill.Replace(arg)
	}
	path, err := program(argv[0])
	if err != nil {
		return nil, err
	}
	argv[0] = path
	return argv, nil
}

// program returns the path of the server's program: name itself if it is absolute,
// else a file beside the agent's executable, else one in PATH.
func program(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	dir := ""
	if self, err := os.Executable(); err == nil {
		dir = filepath.Dir(self)
		beside := filepath.Join(dir, name)
		if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("find server %s: it is neither in %s nor in PATH", name, dir)
	}
	if err != nil {
		return "", fmt.Errorf("find server %s: %w", name, err)
	}
	return path, nil
}
