package deploy

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// recipe is the part of an nfpm file that the tests need.
type recipe struct {
	Contents []struct{ Src, Dst, Packager, Type string }
	Scripts  map[string]string
}

func recipes(t *testing.T) map[string]recipe {
	t.Helper()
	names, err := filepath.Glob("packages/*.yaml")
	if err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	all := make(map[string]recipe)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var r recipe
		if err := yaml.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = r
	}
	return all
}

// from returns the files of what is installed that a pattern of a recipe matches.
func from(pattern string, files []string) []string {
	var found []string
	for _, file := range files {
		if ok, err := path.Match(strings.TrimPrefix(pattern, "bin/linux/root/"), file); ok && err == nil {
			found = append(found, file)
		}
	}
	return found
}

// What make installs is in one of the packages, of either kind; manual pages aside.
func TestPackagesHaveWhatIsInstalled(t *testing.T) {
	t.Parallel()
	var files []string
	for name := range installed(t, "linux", "/usr") {
		files = append(files, name)
	}
	slices.Sort(files)
	for _, kind := range []string{"deb", "rpm"} {
		var have []string
		for name, r := range recipes(t) {
			for _, c := range r.Contents {
				if c.Packager != "" && c.Packager != kind || strings.Contains(c.Src, "/share/man/") {
					continue
				}
				found := from(c.Src, files)
				have = append(have, found...)
				if _, err := os.Stat(filepath.Join("..", c.Src)); err != nil && len(found) == 0 {
					t.Errorf("%s: there is no %s", name, c.Src)
				}
				if strings.HasPrefix(c.Dst, "/etc/") && c.Type != "config|noreplace" {
					t.Errorf("%s: an upgrade replaces %s", name, c.Dst)
				}
			}
			for _, script := range r.Scripts {
				if out, err := exec.Command("/bin/sh", "-n", filepath.Join("..", script)).CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", script, err, out)
				}
			}
		}
		slices.Sort(have)
		if diff := cmp.Diff(files, have); diff != "" {
			t.Errorf("%s: -installed +packaged:\n%s", kind, diff)
		}
	}
}

// Versions of packages, in ascending order.
func TestPackageVersion(t *testing.T) {
	t.Parallel()
	previous := ""
	for _, test := range []struct{ described, commits, want string }{
		{"unknown", "", "0~0.gunknown"},
		{"abc1234", "99", "0~99.gabc1234"},
		{"752e734", "812", "0~812.g752e734"},
		{"752e734-dirty", "812", "0~812.g752e734.dirty"},
		{"v0.1.0-rc.1", "812", "0.1.0~rc.1"},
		{"v0.1.0-rc.1-4-gabc123-dirty", "812", "0.1.0~rc.1+4.gabc123.dirty"},
		{"v0.1.0", "812", "0.1.0"},
		{"v0.1.0-dirty", "812", "0.1.0+0.dirty"},
		{"v0.1.0-4-gabc123", "812", "0.1.0+4.gabc123"},
		{"v0.1.0-12-g0bc123", "812", "0.1.0+12.g0bc123"},
		{"v0.1.1", "812", "0.1.1"},
	} {
		out, err := exec.Command("packages/version.sh", test.described, test.commits).Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != test.want {
			t.Errorf("%s is %s, %v, want %s", test.described, got, err, test.want)
		}
		if _, err := exec.LookPath("dpkg"); err == nil && previous != "" {
			if err := exec.Command("dpkg", "--compare-versions", previous, "lt", test.want).Run(); err != nil {
				t.Errorf("%s is not less than %s", previous, test.want)
			}
		}
		previous = test.want
	}
}

// The image is built by a Go that the module accepts.
func TestContainerfile(t *testing.T) {
	t.Parallel()
	module, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(string(module), "\ngo ")
	parts := strings.SplitN(version, ".", 3)
	if want := "golang:" + parts[0] + "." + parts[1] + " AS build"; !strings.Contains(string(file), want) {
		t.Errorf("it does not have %q", want)
	}
}
