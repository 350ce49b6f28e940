package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// standin is the program that makes an illumos host.
const standin = "illumos-standin"

// standinGround is an illumos host as far as its commands show it. It is asked
// as an operator would, with those commands.
type standinGround struct {
	program string // standin
	dir     string
	// illumos is the configuration's table of that name.
	illumos section
	// bin holds the host's commands, root the zones' directories.
	bin, root string
}

// layStandin installs a host below dir.
func layStandin(ctx context.Context, dir string, programs map[string]string) (ground, error) {
	g := &standinGround{program: programs[standin], dir: filepath.Join(dir, "illumos")}
	out, err := output(ctx, g.program, "install", "-o", "json", g.dir, programs["propolis-sim"], "run", "{addr}")
	if err == nil {
		err = json.Unmarshal(out, &g.illumos)
	}
	if err != nil {
		return nil, fmt.Errorf("install an illumos host: %w", err)
	}
	g.bin, g.root = fmt.Sprint(g.illumos["command_path"]), fmt.Sprint(g.illumos["zone_root"])
	return g, nil
}

func (g *standinGround) zones() section { return section{"backend": "illumos", "illumos": g.illumos} }

func (g *standinGround) kinds() []string {
	return []string{kindZone, kindProcess, kindLink, kindDataset, kindDirectory}
}

// ask runs one of the host's commands and returns the lines that it prints.
func (g *standinGround) ask(ctx context.Context, command string, args ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askBudget)
	defer cancel()
	out, err := output(ctx, filepath.Join(g.bin, command), args...)
	return strings.Split(strings.TrimSpace(string(out)), "\n"), err
}

// server is the one process of the zone that runs the server's program.
func (g *standinGround) server(ctx context.Context, s vmm.Status) (int, error) {
	zone, err := g.zone(ctx, s.ID)
	if err != nil {
		return 0, err
	}
	lines, err := g.ask(ctx, "pgrep", "-z", zone, "propolis-sim")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(lines[0])
}

// zone returns the name of a VMM's zone, empty if it has none.
func (g *standinGround) zone(ctx context.Context, id uuid.UUID) (string, error) {
	lines, err := g.ask(ctx, "zoneadm", "list", "-cip")
	if err != nil {
		return "", err
	}
	for _, line := range lines {
		// Its id and its name come first, and neither holds a colon.
		if fields := strings.SplitN(line, ":", 3); len(fields) == 3 && strings.Contains(fields[1], id.String()) {
			return fields[1], nil
		}
	}
	return "", nil
}

func (g *standinGround) look(ctx context.Context, id uuid.UUID, known []thing) (found []thing, err error) {
	zone, err := g.zone(ctx, id)
	if err != nil {
		return nil, err
	}
	if zone != "" {
		found = append(found, thing{kindZone, zone})
		if known, err = g.inside(ctx, zone, known); err != nil {
			return nil, err
		}
	}
	datasets, err := g.ask(ctx, "zfs", "list", "-H", "-o", "name")
	if err != nil {
		return nil, err
	}
	for _, name := range datasets {
		if strings.Contains(name, id.String()) {
			found = append(found, thing{kindDataset, name})
		}
	}
	dirs, err := directories(g.root, id)
	if err != nil {
		return nil, err
	}
	still, err := g.still(ctx, known)
	return slices.Concat(found, dirs, still), err
}

// inside adds to known the processes and datalinks of a zone.
func (g *standinGround) inside(ctx context.Context, zone string, known []thing) ([]thing, error) {
	// It fails where there is no process, or no such zone by now.
	if pids, err := g.ask(ctx, "pgrep", "-z", zone); err == nil {
		for _, pid := range pids {
			known = appendNew(known, thing{kindProcess, pid})
		}
	}
	lines, err := g.ask(ctx, "zonecfg", "-z", zone, "export")
	for _, line := range lines {
		if link, ok := strings.CutPrefix(strings.TrimSpace(line), "set physical="); ok {
			known = appendNew(known, thing{kindLink, strings.Trim(link, `"`)})
		}
	}
	return known, err
}

// still returns those of the processes and datalinks that there are.
func (g *standinGround) still(ctx context.Context, known []thing) (found []thing, err error) {
	var links []string
	if len(known) > 0 {
		if links, err = g.ask(ctx, "dladm", "show-link", "-p", "-o", "link"); err != nil {
			return nil, err
		}
	}
	for _, t := range known {
		pid, _ := strconv.Atoi(t.name) // 0, which nothing has, if it is no process.
		if t.kind == kindProcess && alive(pid) || t.kind == kindLink && slices.Contains(links, t.name) {
			found = append(found, t)
		}
	}
	return found, nil
}

func (g *standinGround) clear(ctx context.Context) error {
	_, err := output(ctx, g.program, "close", g.dir)
	return err
}

func appendNew(to []thing, t thing) []thing {
	if slices.Contains(to, t) {
		return to
	}
	return append(slices.Clip(to), t)
}

// output runs a program that ends by itself and returns what it prints. Like the
// others, it is in a process group of its own: Ctrl-C does not reach it.
func output(ctx context.Context, path string, args ...string) ([]byte, error) {
	var errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = &errOut
	cmd.WaitDelay = pipeBudget
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(path), strings.Join(args, " "), errors.Join(err, context.Cause(ctx)),
			bytes.TrimSpace(errOut.Bytes()))
	}
	return out, err
}
