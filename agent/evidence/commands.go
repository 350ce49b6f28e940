package evidence

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/internal/plain"
)

const (
	// atOnce bounds the commands that run at a time, for all collections together.
	atOnce = 8
	// perCommand is for how many processes a command with {pid} runs.
	perCommand = 8
	// maxOutput bounds what is kept of each stream of a command, in bytes.
	maxOutput = 256 << 10
)

// commands are those that were configured and found.
type commands struct {
	set  *command.Set
	argv [][]string // nil for one whose program was not found
}

// newCommands looks the programs up: absolute paths, and names in the agent's PATH and where
// a system has its own.
func newCommands(all [][]string, log zerolog.Logger) *commands {
	const system = "/usr/bin:/usr/sbin:/bin:/sbin"
	path := strings.TrimPrefix(os.Getenv("PATH")+":"+system, ":")
	cs, paths := &commands{}, map[string]string{}
	var missing []string
	for _, argv := range all {
		if found := lookUp(argv[0], path); found != "" {
			paths[argv[0]] = found
		} else {
			missing, argv = append(missing, argv[0]), nil
		}
		cs.argv = append(cs.argv, argv)
	}
	if len(missing) > 0 {
		log.Info().Strs("programs", missing).Msg("programs for evidence are not on this host; left out")
	}
	cs.set = command.New(paths, log)
	cs.set.Env = []string{"PATH=" + path, "LC_ALL=C"}
	cs.set.Places = make(chan struct{}, atOnce)
	return cs
}

// lookUp returns the path of a program; empty if there is none.
func lookUp(name, path string) string {
	if filepath.IsAbs(name) {
		found, _ := exec.LookPath(name)
		return found
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found
		}
	}
	return ""
}

// run starts all commands, those with {pid} for each process. What one prints is kept when
// it has ended, or was ended with ctx.
func (cs *commands) run(ctx context.Context, c *collection, pids []int, parts *sync.WaitGroup) {
	for i, argv := range cs.argv {
		if argv == nil {
			continue
		}
		number := fmt.Sprintf("%02d-%s", i+1, fileName(argv[0]))
		if !slices.ContainsFunc(argv, func(word string) bool { return strings.Contains(word, "{pid}") }) {
			parts.Go(func() { cs.one(ctx, c, number+".txt", argv, 0) })
			continue
		}
		for _, pid := range pids[:min(len(pids), perCommand)] {
			parts.Go(func() { cs.one(ctx, c, number+"-"+strconv.Itoa(pid)+".txt", argv, pid) })
		}
	}
}

var unusual = regexp.MustCompile(`[^A-Za-z0-9._+-]+`)

// fileName is a program's name, fit for the name of a file.
func fileName(program string) string { return unusual.ReplaceAllString(filepath.Base(program), "_") }

// one runs a command.
func (cs *commands) one(ctx context.Context, c *collection, file string, argv []string, pid int) {
	fill := strings.NewReplacer("{pid}", strconv.Itoa(pid), "{zone}", c.about.Zone, "{id}", c.about.ID.String())
	filled := slices.Clone(argv)
	for i := range filled[1:] {
		filled[i+1] = fill.Replace(filled[i+1])
	}
	out, warned, err := cs.set.Capture(ctx, command.Call{Argv: filled, For: c.about.Zone, MaxOutput: maxOutput})
	var text bytes.Buffer
	fmt.Fprintf(&text, "$ %s\n%s", strings.Join(filled, " "), out)
	if len(warned) > 0 {
		fmt.Fprintf(&text, "\nstandard error:\n%s", warned)
	}
	if err != nil {
		fmt.Fprintf(&text, "\nfailed: %s\n", plain.Line(err.Error(), 1<<10))
	}
	c.keep(file, text.Bytes())
}
