package deploy

import (
	"bufio"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

// installed returns the files that make installs for a system, by path, with their contents.
// The programs and the completions are empty, and the manual pages left out.
func installed(t *testing.T, target, prefix string) map[string]string {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("there is no make")
	}
	bin, root := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(bin, "completions"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sled-agent", "sled-zone-init", "sledctl", "propolis-sim", "propolis-qemu", "nexus-sim",
		"completions/bash", "completions/zsh", "completions/fish"} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command("make", "-C", "..", "install-files", "BIN="+bin, "DESTDIR="+root, "TARGET="+target, "PREFIX="+prefix, "VERSION=test")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := tree(t, root)
	for name := range files {
		if strings.Contains(name, "/share/man/") {
			delete(files, name)
		}
	}
	return files
}

func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, root+"/")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// packaged returns the files of the IPS manifest, sorted. It checks that each one's source
// has the same path.
func packaged(t *testing.T) []string {
	t.Helper()
	f, err := os.Open("ips/sled-agent.p5m")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var files []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 3 || words[0] != "file" {
			continue
		}
		if words[2] != "path="+words[1] {
			t.Errorf("%s goes to another place: %s", words[1], words[2])
		}
		files = append(files, words[1])
	}
	slices.Sort(files)
	return files
}

func TestPackageHasWhatIsInstalled(t *testing.T) {
	t.Parallel()
	var names []string
	for name := range installed(t, "illumos", "/usr") {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, packaged(t)); diff != "" {
		t.Errorf("-installed +packaged:\n%s", diff)
	}
}

func TestInstallElsewhere(t *testing.T) {
	t.Parallel()
	files := installed(t, "illumos", "/opt/sled")
	if !strings.Contains(files["lib/svc/method/sled-agent"], "\nagent=/opt/sled/bin/sled-agent\n") {
		t.Error("the method runs another agent")
	}
	if !strings.Contains(files["lib/svc/manifest/system/sled-agent.xml"], `exec="/lib/svc/method/sled-agent `) {
		t.Error("the manifest runs another method")
	}
	unit, ok := installed(t, "linux", "/opt/sled")["opt/sled/lib/systemd/system/sled-agent.service"]
	if !ok || !strings.Contains(unit, "\nExecStart=/opt/sled/bin/sled-agent run ") {
		t.Errorf("the unit is there: %v, and runs another agent", ok)
	}
	unit, ok = installed(t, "linux", "/opt/sled")["opt/sled/lib/systemd/system/sled-agent-vmms.service"]
	if !ok || !strings.Contains(unit, "\nExecStop=/opt/sled/bin/sledctl vmm stop --all ") {
		t.Errorf("the unit for a shutdown is there: %v, and runs another sledctl", ok)
	}
	if files := installed(t, "darwin", "/usr/local"); len(files) != 8 {
		t.Errorf("installed %d files, want the programs, the configuration and completions", len(files))
	}
}

func keys(t *testing.T, text string) map[string]string {
	t.Helper()
	var all map[string]any
	if err := toml.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	flat := make(map[string]string)
	flatten(flat, "", all)
	return flat
}

func flatten(flat map[string]string, prefix string, table map[string]any) {
	for name, v := range table {
		if inner, is := v.(map[string]any); is {
			flatten(flat, prefix+name+".", inner)
			continue
		}
		var text strings.Builder
		_ = toml.NewEncoder(&text).Encode(map[string]any{"v": v}) // decoded values can be encoded
		flat[prefix+name] = text.String()
	}
}

// All keys of the example are commented out, and each exists and has the default shown.
func TestExample(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("sled-agent.toml")
	if err != nil {
		t.Fatal(err)
	}
	documented, err := os.ReadFile("../config/testdata/documented.toml")
	if err != nil {
		t.Fatal(err)
	}
	if set := keys(t, string(example)); len(set) != 0 {
		t.Errorf("it sets %v", set)
	}
	var shown strings.Builder
	for line := range strings.Lines(string(example)) {
		if !strings.HasPrefix(line, "# ") {
			line = strings.TrimPrefix(line, "#")
		}
		shown.WriteString(line)
	}
	defaults := keys(t, string(documented))
	all := keys(t, shown.String())
	if len(all) < 10 {
		t.Errorf("it shows %d keys", len(all))
	}
	for key, value := range all {
		if defaults[key] != value {
			t.Errorf("%s = %q, but the default is %q", key, value, defaults[key])
		}
	}
}
