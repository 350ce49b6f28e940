package standin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxHook limits the command that runs the brand's install hook.
const maxHook = 1024

// profileDir is where a zone's image has its SMF profiles, below the root.
const profileDir = "var/svc/profile"

// install does its work in the client, so that a killed one leaves the zone
// incomplete.
func (c *call) install(z *Zone, images []string) int {
	if c.invalidWhileActive(z) {
		return 1
	}
	defer c.lockZone(c.zone)()
	z, ok := c.Zones.Get(c.zone)
	hook := fmt.Sprintf("exec /usr/lib/brand/%s/install %s %s %s", z.Config.Brand, c.zone, z.Config.Zonepath, strings.Join(images, " "))
	switch {
	case !ok:
		return c.zperror("No such zone configured")
	case z.State == Incomplete:
		return c.zerror("zone is incomplete; uninstall required.")
	case z.State == Installed:
		return c.zerror("zone is already installed.")
	case len(hook) >= maxHook:
		return c.zerror("Command line too long")
	}
	if problem := c.badZonepath(z.Config.Zonepath); problem != "" {
		c.complain("%s", problem)
		return c.complain("zoneadm: zone %s failed to verify", c.zone)
	}
	c.setState(Incomplete)
	c.makeZonepath(z.Config.Zonepath)
	if f := c.midway(); f != nil {
		return c.fails(f)
	}
	return c.runBrandInstall(z, images)
}

// midway is the occasion for all that goes wrong while the zone is incomplete.
func (c *call) midway() *Fault {
	o := c.occasion(During)
	o.state = Incomplete
	c.hold(Stuck, func(f *Fault) bool {
		return f.State == Incomplete && (f.Verb == "" || f.Verb == c.verb) && (f.Object == "" || f.Object == c.object)
	})
	return c.strike(o)
}

func (c *call) runBrandInstall(z *Zone, images []string) int {
	exit := c.brandInstall(z, images)
	if f := c.suffers(BrandExit, c.zone); f != nil {
		exit = f.Exit
	}
	switch exit {
	case 0:
		c.setState(Installed)
		return 0
	case 254: // the hook says that there is nothing to keep
		check(os.RemoveAll(filepath.Join(z.Config.Zonepath, "root")))
		c.setState(Configured)
	}
	return c.zerror("install operation failed: the brand's hook exited with %d", exit)
}

// brandInstall is the brand's install hook: it unpacks the images.
func (c *call) brandInstall(z *Zone, images []string) int {
	// The shell that runs the hook splits words; nothing is quoted.
	words := strings.Join(images, " ")
	if strings.ContainsAny(words, "|&;<>()$`\\\"'*?[#~\n") {
		c.complain("sh: syntax error near unexpected token")
		return 2
	}
	root := filepath.Join(z.Config.Zonepath, "root")
	if _, err := os.Lstat(root); !errors.Is(err, fs.ErrNotExist) {
		c.complain("ERROR: %s already exists", root)
		return 255
	}
	if len(images) == 0 {
		c.complain("ERROR: an image is needed")
		return 253
	}
	for _, image := range strings.Fields(words) {
		if !readable(image) {
			c.complain("ERROR: cannot read image %s", image)
			return 255
		}
	}
	time.Sleep(c.Options().InstallTime)
	for _, dir := range []string{profileDir, "var/svc/log", "var/log", "etc", "tmp", "opt"} {
		check(os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	check(os.WriteFile(filepath.Join(root, "etc/nodename"), []byte(z.Name+"\n"), 0o600))
	return 0
}

func readable(image string) bool {
	f, err := os.Open(image)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// badZonepath says what is wrong with a path for a zone.
func (c *call) badZonepath(path string) string {
	parent := filepath.Dir(path)
	info, err := os.Lstat(parent)
	real, _ := filepath.EvalSymlinks(parent)
	switch {
	case !filepath.IsAbs(path):
		return fmt.Sprintf("%s is not an absolute path.", path)
	case err != nil:
		return fmt.Sprintf("could not verify zonepath %s because of the above errors: %s: No such file or directory", path, parent)
	case real != parent:
		return fmt.Sprintf("%s is a symbolic link.", parent)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Sprintf("%s must not be group or world writable.", parent)
	}
	for _, other := range c.Zones.All() {
		if other.Name != c.zone && strings.HasPrefix(path+"/", other.Config.Zonepath+"/") {
			return fmt.Sprintf("%s is within zone %s's zonepath.", path, other.Name)
		}
	}
	info, err = os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil || !info.IsDir():
		return fmt.Sprintf("%s is not a directory.", path)
	case info.Mode().Perm() != 0o700:
		return fmt.Sprintf("%s must have permissions 0700.", path)
	}
	return ""
}

// makeZonepath makes the zonepath; it is a dataset of its own if its parent is one.
func (c *call) makeZonepath(path string) {
	if parent := c.mountedOn(filepath.Dir(path)); parent != nil {
		name := parent.Name + "/" + filepath.Base(path)
		c.Datasets.put(name, &Dataset{Name: name, Mountpoint: path})
	}
	check(os.MkdirAll(path, 0o700))
}

// mountedOn returns the dataset with this mountpoint.
func (s *Store) mountedOn(path string) *Dataset {
	for _, d := range s.Datasets.All() {
		if d.Mountpoint == path {
			return d
		}
	}
	return nil
}

// uninstall leaves the zonepath and its dataset.
func (c *call) uninstall(z *Zone, args []string) int {
	switch {
	case z.State == Configured:
		return c.zerror("is already in state 'configured'.")
	case c.invalidWhileActive(z):
		return 1
	case !slices.Contains(args, "-F"):
		return c.complain("Input not from terminal and -F not specified: uninstall aborted.")
	}
	c.dismissZoneadmd(c.zone)
	defer c.lockZone(c.zone)()
	z, ok := c.Zones.Get(c.zone)
	switch {
	case !ok:
		return c.zperror("No such zone configured")
	case z.State == Configured:
		return c.zerror("is already in state 'configured'.")
	case c.invalidWhileActive(z):
		return 1
	case c.suffers(BusyMounts, c.zone) != nil:
		c.complain("These file systems are mounted on subdirectories of %s:", z.Config.Zonepath)
		return c.complain("  %s/root/mnt", z.Config.Zonepath)
	}
	c.setState(Incomplete)
	if f := c.midway(); f != nil {
		return c.fails(f)
	}
	check(os.RemoveAll(filepath.Join(z.Config.Zonepath, "root")))
	c.setState(Configured)
	return 0
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
