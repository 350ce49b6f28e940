package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
)

// A migrant is a Machine that starts at once and says one word to the target before it stays.
type migrant struct {
	instant
	t      *testing.T
	target *websocket.Conn
	ended  chan struct{}
}

func (m *migrant) Protocol() string { return "migrant-1" }

func (m *migrant) Connect(target *websocket.Conn) <-chan struct{} {
	m.target, m.ended = target, make(chan struct{})
	return m.ended
}

func (m *migrant) Begin(r server.Request) {
	if r != server.MigrateOut {
		m.vm.Runs()
		return
	}
	m.vm.ShowPhase(server.Sync)
	go func() {
		if err := m.target.Write(m.t.Context(), websocket.MessageText, []byte("hello")); err != nil {
			m.t.Error(err)
		}
		m.vm.Enter(m.vm.Runs)
		close(m.ended)
	}()
}

const startPath = "/instance/migrate/" + servertest.MigrationID + "/start"

func join(t *testing.T, c *servertest.Client, protocol string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), c.Base+startPath, &websocket.DialOptions{
		HTTPHeader: http.Header{"Api-Version": {"6.0.0"}}, Subprotocols: []string{protocol}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

// A target connects with the source's Machine, which then migrates.
func TestMigrationStart(t *testing.T) {
	t.Parallel()
	c := overSocket(t, server.Options{Make: func(vm *server.VM) server.Machine {
		return &migrant{instant: instant{puppet{vm: vm}}, t: t}
	}})
	c.Want(c.Call("GET", startPath, ""), "Failed Dependency NoInstance")
	c.Want(c.Ensure(), "Created")
	c.Want(c.Call("GET", startPath, ""), "Forbidden instance cannot migrate: Instance is not active")
	c.Want(c.Put("Run"), "No Content")
	if _, _, err := join(t, c, "other").Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("another protocol: %v", err)
	}
	for range 2 { // It has stayed and may migrate again.
		conn := join(t, c, "migrant-1")
		if _, said, err := conn.Read(t.Context()); string(said) != "hello" || err != nil {
			t.Errorf("the source says %q, %v", said, err)
		}
		v := c.Await(server.Running)
		if m := v.Migration.Out; m == nil || m.ID.String() != servertest.MigrationID || m.State != server.Sync {
			t.Errorf("the migration is %v", m)
		}
		if _, _, err := conn.Read(t.Context()); err == nil {
			t.Error("the connection is open")
		}
	}
}

func TestMachineThatCannotMigrate(t *testing.T) {
	t.Parallel()
	c := inProcess(t, server.Options{})
	c.Want(c.Ensure(), "Created")
	c.Want(c.Call("GET", startPath, ""), "Not Found")
}

// A VM that arrives has the source's spec with the replaced components, and nothing that would be
// refused otherwise.
func TestArriving(t *testing.T) {
	t.Parallel()
	var vm *server.VM
	c := inProcess(t, server.Options{Make: func(made *server.VM) server.Machine {
		vm = made
		return &instant{puppet{vm: vm}}
	}})
	c.Want(c.Call("PUT", "/instance", servertest.MigrationTarget), "Created")
	var ensured struct {
		Init struct {
			Value struct{ Spec json.RawMessage }
		}
	}
	if err := json.Unmarshal([]byte(servertest.ColdStart), &ensured); err != nil {
		t.Fatal(err)
	}
	target, good := vm.Ensured(), string(ensured.Init.Value.Spec)
	e, err := target.Arriving(json.RawMessage(strings.Replace(good, `"request_json":"{}"`, `"request_json":"of the source"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(e.Spec); !strings.Contains(text, `"com1"`) || strings.Contains(text, "of the source") {
		t.Errorf("the spec is %s", text)
	}
	if !e.Target || e.Migration != target.Migration || e.Source != target.Source || string(e.Properties) != string(target.Properties) {
		t.Errorf("it is %+v, made from %+v", e, target)
	}
	for what, bad := range map[string]string{
		"nothing":                  ``,
		"no spec":                  `7`,
		"no components":            `{}`,
		"no backend to replace":    strings.Replace(good, servertest.DiskID+`":`+servertest.Crucible, `other":`+servertest.Crucible, 1),
		"another kind of backend":  strings.Replace(good, servertest.Crucible, `{"type":"blob_storage_backend","component":{"base64":"","readonly":true}}`, 1),
		"no schema's":              strings.Replace(good, `"num":"com1"`, `"num":"com1,path=/etc/passwd"`, 1),
		"a device without backend": strings.Replace(good, `"backend_id":"`+servertest.DiskID, `"backend_id":"none`, 1),
	} {
		if e, err := target.Arriving(json.RawMessage(bad)); err == nil {
			t.Errorf("%s: got %s", what, e.Spec)
		}
	}
}
