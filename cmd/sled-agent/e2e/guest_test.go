package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// guestDir has a guest, made by make guest. The tests with real guests need QEMU as well.
var guestDir = os.Getenv("E2E_GUEST")

var buildGuestServer = sync.OnceValue(func() error { return build(program("propolis-qemu"), "propolis-qemu") })

// guestHarness returns a harness for tests with real guests.
func guestHarness(t *testing.T) *harness {
	t.Helper()
	return guestHarnessWith(t, setup{})
}

func guestHarnessWith(t *testing.T, s setup) *harness {
	t.Helper()
	if guestDir == "" {
		t.Skip("part of make test-guests (E2E_GUEST=DIR)")
	}
	onlyOnProcesses(t)
	must(t, buildGuestServer())
	s.propolis = section{"api_version": "7.0.0"}
	return newHarness(t, s)
}

// A guest is a VMM whose guest is real, with a connection to its console.
type guest struct {
	*vm
	conn *websocket.Conn
	// text is what the console has written and no wait has consumed.
	text string
}

// boot starts a guest with these words on its kernel's command line, and waits until it has come up.
func (h *harness) boot(words string) *guest {
	h.t.Helper()
	return h.bootWith(words, nil)
}

// bootWith is boot with more components.
func (h *harness) bootWith(words string, components map[string]any) *guest {
	h.t.Helper()
	v := h.newVMWith(wire.BodyOptions{PropolisAddr: freeAddr(h.t), CPUs: 1, MemoryMiB: 128, NICs: 1})
	v.body = withComponents(h.t, v.body, components)
	v.register()
	v.inQEMU(words)
	v.launch()
	g := v.connected()
	g.says("guest up 1\r\n")
	return g
}

// connected connects with the console of a VMM that runs.
func (v *vm) connected() *guest {
	v.t.Helper()
	conn, _, err := websocket.Dial(bounded(v.t), "http://"+v.serverAddr.String()+"/instance/serial?from_start=0",
		&websocket.DialOptions{HTTPHeader: http.Header{"Api-Version": {"7.0.0"}}})
	must(v.t, err)
	v.t.Cleanup(func() { conn.CloseNow() })
	return &guest{vm: v, conn: conn}
}

// inQEMU makes the VMM's server one with real guests. Without no_timer_check, Linux may find on a busy machine
// that its timer does not work.
func (v *vm) inQEMU(words string) {
	v.t.Helper()
	kernel, initrd := filepath.Join(guestDir, "kernel"), filepath.Join(guestDir, "initrd")
	v.serverScript(fmt.Sprintf(`exec '%s' run --api-version 7.0.0 --accel tcg --crucible '%s' --kernel '%s' --initrd '%s' \
		--append 'console=ttyS0 quiet no_timer_check %s' "$addr"`, program("propolis-qemu"), v.dir, kernel, initrd, words))
}

// withComponents adds components to the spec of a registration.
func withComponents(t testing.TB, body []byte, components map[string]any) []byte {
	t.Helper()
	var all map[string]any
	must(t, json.Unmarshal(body, &all))
	maps.Copy(all["vmm_spec"].(map[string]any)["components"].(map[string]any), components)
	body, err := json.Marshal(all)
	must(t, err)
	return body
}

// says waits until the console has written a text.
func (g *guest) says(text string) {
	g.t.Helper()
	ctx := bounded(g.t)
	for !strings.Contains(g.text, text) {
		_, frame, err := g.conn.Read(ctx)
		if err != nil {
			g.t.Fatalf("the console has not written %q but %q: %v", text, g.text, err)
		}
		g.text += string(frame)
	}
	_, g.text, _ = strings.Cut(g.text, text)
}

// types sends a line to the console.
func (g *guest) types(line string) {
	g.t.Helper()
	must(g.t, g.conn.Write(bounded(g.t), websocket.MessageBinary, []byte(line+"\n")))
}

// rebooted waits until the guest has come up again.
func (g *guest) rebooted(since time.Time) {
	g.t.Helper()
	g.eventAfter("observed", "Rebooting", since)
	g.eventAfter("observed", "Running", since)
	g.says("guest up 0\r\n")
}

// Whatever happens to a real guest ends as it does with a simulated one.
func TestRealGuests(t *testing.T) {
	h := guestHarness(t)
	const ordered = "Propolis reported it destroyed"
	for name, c := range map[string]struct {
		words string
		do    func(*guest)
	}{
		"a stop":      {"", func(g *guest) { g.stopAndEnd() }},
		"a soft stop": {"", func(g *guest) { g.softly("stopped", far, ""); g.says("guest power button"); g.endsBy(ordered) }},
		"the button is ignored": {"button=ignore", func(g *guest) {
			g.softly("stopped", 1, "")
			g.says("guest power button")
			g.endsBy(ordered)
		}},
		"the button is ignored until the deadline": {"button=ignore", func(g *guest) {
			s := g.softly("stopped", far, "grace="+grace.String())
			s.grace = grace
			g.removedAtDeadline(s)
			g.endsDestroyed()
		}},
		"a guest that hangs": {"", func(g *guest) {
			g.types("hang")
			g.says("guest hangs")
			s := g.softly("stopped", far, "grace="+grace.String())
			s.grace = grace
			g.removedAtDeadline(s)
			g.endsDestroyed()
		}},
		"the guest powers off": {"", func(g *guest) { g.types("poweroff"); g.endsDestroyed() }},
		"the guest reboots": {"", func(g *guest) {
			since := time.Now()
			g.types("reboot")
			g.rebooted(since)
			g.stopAndEnd()
		}},
		"a reboot": {"", func(g *guest) {
			since := time.Now()
			g.putState("reboot", "").wants(g.t, http.StatusOK)
			g.rebooted(since)
			g.stopAndEnd()
		}},
		"a soft reboot": {"", func(g *guest) {
			since := time.Now()
			g.softly("reboot", far, "")
			g.says("guest power button")
			g.rebooted(since)
			g.stopAndEnd()
		}},
		"the guest panics": {"panic=0", func(g *guest) {
			g.types("panic")
			g.says("Kernel panic")
			g.endsFailed()
			g.hasEvidence("guest has panicked")
			g.hasConsole("guest up 1\n", "Kernel panic")
		}},
		"QEMU is killed": {"", func(g *guest) {
			g.signal("qemu-system", syscall.SIGKILL)
			g.endsFailed()
			g.hasConsole("guest up 1\n")
		}},
		"Propolis is killed": {"", func(g *guest) {
			g.signal("propolis-qemu run", syscall.SIGKILL)
			g.endsFailed()
			g.hasConsole("guest up 1\n")
		}},
		"QEMU is stopped by a signal": {"", func(g *guest) {
			g.signal("qemu-system", syscall.SIGSTOP)
			g.stopAndEnd()
		}},
		"the guest takes memory": {"", func(g *guest) { g.types("fill 32"); g.says("guest filled 32 MiB"); g.stopAndEnd() }},
	} {
		t.Run(name, func(t *testing.T) { c.do(h.in(t).boot(c.words)) })
	}
}

// hasConsole checks that the bundle of the VMM's end has what the guest has written.
func (g *guest) hasConsole(words ...string) {
	g.t.Helper()
	var made []bundle.Metadata
	waitFor(g.t, func() string {
		if made = g.bundles("/" + g.zone()); len(made) != 1 {
			return fmt.Sprintf("VMM %s has %d bundles", g.id, len(made))
		}
		return ""
	})
	path := "/zones/bundles/" + g.zone() + "/" + made[0].ID.Bundle.String()
	got := string(unpacked(g.t, g.call("GET", path, nil).wants(g.t, http.StatusOK).body)["console.log"])
	for _, text := range words {
		if !strings.Contains(got, text) {
			g.t.Errorf("the console in the bundle has no %q: %q", text, got)
		}
	}
}

// A guest does not notice that the agent was killed (R).
func TestRealGuestSurvivesTheAgent(t *testing.T) {
	h := guestHarness(t)
	g := h.boot("")
	h.agent().kill()
	g.says("guest up 3\r\n")
	h.replace(h.agent())
	g.says("guest up 4\r\n")
	g.is(vmm.WireRunning)
	if got, err := consoleHistory(bounded(t), g); err != nil || strings.Count(got, "guest disks") != 1 {
		t.Errorf("the guest has booted again, or %v: %s", err, got)
	}
	g.softly("stopped", far, "")
	g.says("guest power button")
	g.endsDestroyed()
}

// Guests run on while the agent is killed again and again, also while it starts (R). SOAK_SEED repeats the choices of
// an earlier run.
func TestRealGuestsSurviveManyAgents(t *testing.T) {
	const kills, mostLife = 20, 500 // milliseconds
	h := guestHarness(t)
	seed := number(t, "SOAK_SEED", time.Now().UnixNano())
	t.Logf("SOAK_SEED=%d", seed)
	guests := []*guest{h.boot(""), h.boot("")}
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	for range kills {
		if r.IntN(2) == 0 {
			h.serves(h.agent())
		}
		pause(time.Duration(r.IntN(mostLife)) * time.Millisecond)
		h.agent().kill()
		must(t, h.nexus.Settle(bounded(t))) // What one agent has sent must arrive before what the next one sends.
		h.spawn()
	}
	h.serves(h.agent())
	for _, g := range guests {
		g.is(vmm.WireRunning)
		g.runsOn()
		g.neverLeftRunning()
	}
	guests[0].softly("stopped", far, "")
	guests[1].stop(never)
	for _, g := range guests {
		g.endsDestroyed()
	}
}

// neverLeftRunning checks that Nexus has received nothing but Running since the VMM first was that.
func (g *guest) neverLeftRunning() {
	g.t.Helper()
	row, _ := g.nexus.Row(g.id)
	running := func(s nexussim.Seen) bool { return s.State == vmm.WireRunning }
	first := slices.IndexFunc(row.History, running)
	if slices.ContainsFunc(row.History[max(0, first):], func(s nexussim.Seen) bool { return !running(s) }) {
		g.t.Errorf("the VMM did not always run: %s", describe(row))
	}
}

// runsOn waits until the guest's uptime goes on, and checks that it has never fallen.
func (g *guest) runsOn() {
	g.t.Helper()
	last := slices.Max(g.uptimes())
	waitFor(g.t, func() string {
		if now := slices.Max(g.uptimes()); now <= last {
			return fmt.Sprintf("the guest of VMM %s is up %d", g.id, now)
		}
		return ""
	})
	if all := g.uptimes(); !slices.IsSorted(all) {
		g.t.Errorf("the uptime of the guest of VMM %s has fallen: %d", g.id, all)
	}
}

// uptimes returns all uptimes that the guest has written.
func (g *guest) uptimes() (all []int) {
	g.t.Helper()
	text, err := consoleHistory(bounded(g.t), g)
	must(g.t, err)
	for line := range strings.Lines(text) {
		var n int
		if _, err := fmt.Sscanf(line, "guest up %d\r\n", &n); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// A guest has the disks of its spec.
func TestRealGuestDisks(t *testing.T) {
	h := guestHarness(t)
	file := filepath.Join(h.dir, "disk.raw")
	must(t, os.WriteFile(file, make([]byte, 1<<20), 0o600))
	g := h.bootWith("", map[string]any{
		"file": part("file_storage_backend", map[string]any{"path": file, "readonly": false, "block_size": 512, "workers": nil}),
		"blob": part("blob_storage_backend", map[string]any{"base64": "aGVsbG8=", "readonly": true}),
		"vda":  part("virtio_disk", map[string]any{"backend_id": "blob", "pci_path": at(16)}),
		"nvme": part("nvme_disk", map[string]any{"backend_id": "file", "pci_path": at(17), "has_write_cache": true,
			"serial_number": []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}}),
	})
	got, err := consoleHistory(bounded(t), g)
	must(t, err)
	// Name, number of sectors, read-only.
	if !strings.Contains(got, "guest disks [nvme0n1:2048:0 vda:1:1]") {
		t.Errorf("the console has written %q", got)
	}
	g.stopAndEnd()
}

// Without a kernel the firmware boots from the disks, in the order of the spec. Each has a boot sector that writes
// a line to com1.
func TestRealGuestBootOrder(t *testing.T) {
	h := guestHarness(t)
	v := h.newVMWith(wire.BodyOptions{PropolisAddr: freeAddr(t), CPUs: 1, MemoryMiB: 64})
	v.body = withComponents(t, v.body, map[string]any{
		"a": bootable(t, h.dir, 'A'), "disk-a": part("virtio_disk", map[string]any{"backend_id": "a", "pci_path": at(16)}),
		"b": bootable(t, h.dir, 'B'), "disk-b": part("virtio_disk", map[string]any{"backend_id": "b", "pci_path": at(17)}),
		"order": part("boot_settings", map[string]any{"order": []any{map[string]any{"id": "disk-b"}, map[string]any{"id": "disk-a"}}}),
	})
	v.register()
	v.serverScript(fmt.Sprintf(`exec '%s' run --api-version 7.0.0 --accel tcg "$addr"`, program("propolis-qemu")))
	v.launch().connected().says("B\n")
	v.stopAndEnd()
}

// bootable returns a disk that writes a letter. The firmware needs a cylinder of it.
func bootable(t *testing.T, dir string, letter byte) any {
	// mov $0x3f8,%dx; mov letter,%al; out %al,(%dx); mov $'\n',%al; out %al,(%dx); hlt; jmp back to hlt
	sector := []byte{0xba, 0xf8, 0x03, 0xb0, letter, 0xee, 0xb0, '\n', 0xee, 0xf4, 0xeb, 0xfd}
	disk := append(sector, make([]byte, 1<<20-len(sector))...)
	disk[510], disk[511] = 0x55, 0xaa
	file := filepath.Join(dir, string(letter)+".raw")
	must(t, os.WriteFile(file, disk, 0o600))
	return part("file_storage_backend", map[string]any{"path": file, "readonly": false, "block_size": 512, "workers": nil})
}

// A snapshot of a volume is a volume of its own, which is never replaced, and the guest runs on.
func TestRealGuestSnapshot(t *testing.T) {
	h := guestHarness(t)
	disk, volume, snapshot := uuid.NewString(), uuid.NewString(), uuid.NewString()
	content := bytes.Repeat([]byte("volume of a guest; "), 1<<20/16)
	content = content[:1<<20]
	must(t, os.WriteFile(filepath.Join(h.dir, volume+".raw"), content, 0o600))
	g := h.bootWith("", map[string]any{
		disk:  part("crucible_storage_backend", map[string]any{"readonly": false, "request_json": fmt.Sprintf(`{"type":"volume","id":%q}`, volume)}),
		"vda": part("virtio_disk", map[string]any{"backend_id": disk, "pci_path": at(16)}),
	})
	path, body := "/vmms/"+g.id.String()+"/disks/"+disk+"/snapshot", fmt.Appendf(nil, `{"snapshot_id":%q}`, snapshot)
	g.call("POST", path, body).wants(t, http.StatusOK)
	got, err := os.ReadFile(filepath.Join(h.dir, snapshot+".raw"))
	if must(t, err); !bytes.Equal(got, content) {
		t.Errorf("the snapshot has %d bytes and is not the volume", len(got))
	}
	if got := g.call("POST", path, body); got.status < 500 {
		t.Errorf("the same snapshot again: %v", got)
	}
	g.says("guest up 3\r\n")
	g.stopAndEnd()
	if left, err := filepath.Glob(filepath.Join(h.dir, "*.raw")); err != nil || len(left) != 2 {
		t.Errorf("there are %q, %v", left, err)
	}
}

func at(device int) map[string]any {
	return map[string]any{"bus": 0, "device": device, "function": 0}
}

func part(kind string, fields map[string]any) any {
	return map[string]any{"type": kind, "component": fields}
}

// consoleHistory returns all that the console has written.
func consoleHistory(ctx context.Context, g *guest) (string, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+g.serverAddr.String()+"/instance/serial/history?from_start=0", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Api-Version", "7.0.0")
	got, err := g.exchange(req)
	if err != nil {
		return "", err
	}
	var history struct{ Data []int }
	err = json.Unmarshal(got.body, &history)
	text := make([]byte, len(history.Data))
	for i, n := range history.Data {
		text[i] = byte(n)
	}
	return string(text), err
}

// A VM that QEMU cannot make is Failed, and the reason names the component.
func TestRealGuestRefused(t *testing.T) {
	h := guestHarness(t)
	v := h.newVM()
	v.body = withComponents(t, v.body, map[string]any{"bridge": map[string]any{"type": "pci_pci_bridge", "component": map[string]any{
		"downstream_bus": 1, "pci_path": map[string]any{"bus": 0, "device": 20, "function": 0}}}})
	v.register()
	v.inQEMU("")
	v.run()
	v.endsFailed()
	v.hasEvidence(`component "bridge"`)
}
