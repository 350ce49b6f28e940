package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hostileZone is the environment variable with the attack that this program performs as a process of a
// zone; see attacks.
const hostileZone = "E2E_HOSTILE_ZONE"

// attacks are what a server can do to its host from inside its zone, in whose root it runs. Each returns
// when it is done or panics with its error; its process stays.
var attacks = map[string]func(){
	"forged records": forgeRecords,
	"pipes":          func() { replaceRecords(func(name string) error { return syscall.Mkfifo(name, 0o600) }) },
	"devices": func() {
		replaceRecords(func(name string) error { return syscall.Mknod(name, syscall.S_IFCHR|0o600, 1<<8|5) }) // /dev/zero
	},
	"links":       linkRecords,
	forgedEnd:     forgeEnd,
	"names":       manyNames,
	"deep trees":  deepTrees,
	"forks":       forks,
	"endless log": endlessLog,
	"groups":      nestedGroups,
}

func init() {
	if os.Getenv(hostileZone) != "" {
		os.Exit(attack())
	}
}

// attack is this program's main function in a zone: it waits for the test, attacks and reports that.
func attack() int {
	mark := os.Getenv("mark")
	for exists := false; !exists; time.Sleep(10 * time.Millisecond) { // sleep: polls for the file
		_, err := os.Stat(mark + ".go")
		exists = err == nil
	}
	text := "done"
	func() {
		defer func() {
			if err := recover(); err != nil {
				text = fmt.Sprint(err)
			}
		}()
		attacks[os.Getenv(hostileZone)]()
	}()
	if err := errors.Join(os.WriteFile(mark+".new", []byte(text), 0o600), os.Rename(mark+".new", mark+".done")); err != nil {
		return 1
	}
	if os.Getenv(hostileZone) == forgedEnd {
		_ = syscall.Kill(os.Getppid(), syscall.SIGKILL) // the server, and so the zone
	}
	select {}
}

// try panics with the first of the errors.
func try(errs ...error) {
	if err := first(errs...); err != nil {
		panic(err)
	}
}

// forgedEnd is the attack after which the server ends.
const forgedEnd = "forged end"

// escapes is a long text of terminal control sequences.
var escapes = strings.Repeat("\x1b[2J\x1b]0;owned\a\u009b31m\u202e\r\n", 20_000)

// forgeEnd reports a false end of the server before the real one, and fills the end of its log.
func forgeEnd() {
	text, err := json.Marshal(map[string]any{"how": escapes, "at": time.Now()})
	fmt.Print(escapes)
	try(err, os.WriteFile("../exit.json", text, 0o600), os.Mkdir("../exit.json.new", 0o700))
}

// forgeRecords claims that the zone consists of another process and that the server has ended.
func forgeRecords() {
	text, err := os.ReadFile("../boot.json")
	try(err)
	var boot map[string]any
	try(json.Unmarshal(text, &boot))
	pid, _ := strconv.Atoi(os.Getenv("victim")) // set by the test
	boot["init"], boot["pid_namespace"] = map[string]any{"pid": pid, "start": json.RawMessage(os.Getenv("start"))}, false
	boot["cgroup"], boot["tasks"] = os.Getenv("group"), os.Getenv("group")
	for name, record := range map[string]any{"boot.json": boot, "exit.json": map[string]any{"how": escapes, "at": time.Now()}} {
		text, err := json.Marshal(record)
		try(err, os.WriteFile("../"+name, text, 0o600))
	}
}

// replaceRecords replaces each of the zone's records by something else.
func replaceRecords(make func(string) error) {
	for _, name := range []string{"boot.json", "exit.json", "config.json", "boot.json.new", "exit.json.new"} {
		try(os.RemoveAll("../"+name), make("../"+name))
	}
}

// linkRecords makes every name of the zone a link to the test's files.
func linkRecords() {
	victim := os.Getenv("file")
	replaceRecords(func(name string) error { return os.Symlink(victim, name) })
	try(os.Rename("../log", "../log.old"), os.Symlink(filepath.Dir(victim), "../log"),
		os.Symlink("/", "everything"), os.Symlink(filepath.Dir(victim), "../directory"))
}

// manyNames makes so many files that listing them costs memory.
func manyNames() {
	for n := range 80_000 {
		f, err := os.Create(fmt.Sprintf("%s/a-name-that-is-not-short-at-all-%d", []string{"..", "."}[n%2], n))
		try(err)
		f.Close()
	}
}

// deepTrees makes directories deeper than the descriptor limit and the maximum path length.
func deepTrees() {
	for _, name := range []string{"../deep", "deep"} {
		here, err := os.Getwd()
		try(err)
		for range 3_000 {
			try(os.Mkdir(name, 0o700), syscall.Chdir(name))
			name = strings.Repeat("d", 100)
		}
		try(syscall.Chdir(here))
	}
}

// forks fills the zone with processes, some of which fork continuously and leave their session.
func forks() {
	for n := range 300 {
		line := "exec sleep 3600"
		if n%100 == 0 {
			line = "while :; do sh -c 'sleep 1 & sleep 0.2'; done"
		}
		cmd := exec.Command("sh", "-c", line)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // no reference to the zone
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		err := cmd.Start()
		if errors.Is(err, syscall.EAGAIN) {
			return // the limit is reached
		}
		try(err)
	}
}

// endlessLog writes more than a log may hold, without line ends and in empty lines.
func endlessLog() {
	for _, part := range []string{"\x1b[31m\u009b2J", "\n", "\x00\xff"} {
		chunk := bytes.Repeat([]byte(part), 1<<20/len(part))
		for range 24 {
			_, err := os.Stdout.Write(chunk)
			try(err)
		}
	}
}

// nestedGroups makes nested control groups until that fails or the path is too long, and leaves a
// process in the last one.
func nestedGroups() {
	text, err := os.ReadFile("/proc/self/cgroup")
	try(err)
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || !strings.Contains(fields[2], os.Getenv("zone")) {
			continue
		}
		for _, mount := range []string{"/sys/fs/cgroup/" + strings.TrimPrefix(fields[1], "name="), "/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
			if syscall.Chdir(mount+fields[2]) == nil {
				nest()
				break
			}
		}
	}
}

func nest() {
	for range 60 {
		name := strings.Repeat("g", 100)
		if err := os.Mkdir(name, 0o755); err != nil {
			break // the limit is reached
		}
		try(syscall.Chdir(name))
	}
	cmd := exec.Command("sleep", "3600")
	try(cmd.Start())
	err := os.WriteFile("cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0)
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.EBUSY) {
		try(err) // Otherwise the group takes no processes.
	}
}
