package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
)

// The version header is checked before everything else.
func TestVersionPolicy(t *testing.T) {
	t.Parallel()
	const missing = `missing expected header "api-version"`
	for name, tc := range map[string]struct {
		version, path string
		status        int
		message       string
	}{
		"newest":                {"6.0.0", "/instance", 424, "Server not initialized (no instance)"},
		"older":                 {"5.0.0", "/instance", 424, "Server not initialized (no instance)"},
		"never released":        {"4.3.2", "/instance", 424, "Server not initialized (no instance)"},
		"pre-release of newest": {"6.0.0-rc.1", "/instance", 424, "Server not initialized (no instance)"},
		"too new":               {"6.0.1", "/instance", 400, "server does not support this API version: 6.0.1"},
		"too new, no such path": {"7.0.0", "/nothing", 400, "server does not support this API version: 7.0.0"},
		"missing":               {"", "/instance", 400, missing},
		"missing, no such path": {"", "/nothing", 400, missing},
		"not all parts":         {"6", "/instance", 400, `bad value for header "api-version": 6`},
		"leading zero":          {"06.0.0", "/instance", 400, `bad value for header "api-version": 06.0.0`},
		"too big":               {"99999999999999999999.0.0", "/instance", 400, `bad value for header "api-version": 99999999999999999999.0.0`},
		"no such path":          {"6.0.0", "/nothing", 404, "Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := inProcess(t, server.Options{})
			r := c.Request("GET", tc.path, "")
			r.Header.Del("api-version")
			if tc.version != "" {
				r.Header.Set("api-version", tc.version)
			}
			got, err := c.Try(r)
			if err != nil {
				t.Fatal(err)
			}
			if e := got.Err(t); got.Status != tc.status || e.Message != tc.message {
				t.Errorf("got %d %q, want %d %q", got.Status, e.Message, tc.status, tc.message)
			}
			if tc.status != 424 && got.Err(t).Code != nil {
				t.Errorf("error_code %q, want none", *got.Err(t).Code)
			}
		})
	}
}

// A server that does not know 6.0.0 yet.
func TestOlderServer(t *testing.T) {
	t.Parallel()
	newest, err := dropshot.ParseVersion("5.0.0")
	if err != nil {
		t.Fatal(err)
	}
	c := overSocket(t, server.Options{Newest: newest})
	c.Want(c.Ensure(), "Bad Request")
	r := c.Request("PUT", "/instance", servertest.ColdStart)
	r.Header.Set("api-version", "5.0.0")
	got, err := c.Try(r)
	if err != nil || !strings.Contains(got.Body, "has_write_cache: want no field of this name") {
		t.Errorf("new body under an old version: %d %s %v", got.Status, got.Body, err)
	}
	r = c.Request("PUT", "/instance", strings.Replace(servertest.ColdStart, `"has_write_cache":true,`, "", 1))
	r.Header.Set("api-version", "5.0.0")
	if got, err := c.Try(r); err != nil || got.Status != http.StatusCreated {
		t.Errorf("old body: %d %s %v", got.Status, got.Body, err)
	}
}

func TestErrorBody(t *testing.T) {
	t.Parallel()
	c := overSocket(t, server.Options{})
	r := c.Request("GET", "/instance", "")
	r.Header.Set("X-Request-Id", uuid.NewString())
	got, err := c.Try(r)
	if err != nil {
		t.Fatal(err)
	}
	id := got.Header.Get("X-Request-Id")
	want := "{\n  \"request_id\": \"" + id + "\",\n  \"message\": \"Server not initialized (no instance)\",\n" +
		"  \"error_code\": \"NoInstance\"\n}"
	if got.Body != want {
		t.Errorf("got %s\nwant %s", got.Body, want)
	}
	if id == r.Header.Get("X-Request-Id") {
		t.Error("the client's request id was taken over")
	}
}

func TestRouting(t *testing.T) {
	t.Parallel()
	disk := "/instance/disk/" + servertest.DiskID + "/snapshot/"
	for name, tc := range map[string]struct{ method, path, want string }{
		"trailing slash":          {"GET", "/instance/", "OK"},
		"double slash":            {"GET", "//instance//spec", "OK"},
		"encoded letter":          {"GET", "/inst%61nce", "OK"},
		"encoded slash":           {"GET", "/instance%2Fspec", "Not Found"},
		"dots":                    {"GET", "/instance/../instance", "Bad Request"},
		"encoded dots":            {"GET", "/instance/%2E%2e", "Bad Request"},
		"other method":            {"DELETE", "/instance", "Method Not Allowed"},
		"unknown path":            {"GET", "/instance/nothing", "Not Found"},
		"snapshot":                {"POST", disk + uuid.NewString(), "OK"},
		"snapshot without a UUID": {"POST", disk + "x", "Bad Request"},
		"snapshot of a device":    {"POST", "/instance/disk/disk/snapshot/" + uuid.NewString(), "Not Found"},
		"snapshot of nothing":     {"POST", "/instance/disk/none/snapshot/" + uuid.NewString(), "Not Found"},
		"status of no migration":  {"GET", "/instance/migration-status", "OK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := overSocket(t, server.Options{})
			c.Want(c.Ensure(), "Created")
			got := c.Call(tc.method, tc.path, "")
			c.Want(got, tc.want)
			if allow := got.Header.Get("Allow"); tc.want == "Method Not Allowed" && allow != "GET, PUT" {
				t.Errorf("Allow: %q", allow)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ contentType, path, body, want string }{
		"no content type":       {"", "/instance/state", `"Run"`, ""},
		"with a parameter":      {"application/json; charset=utf-8", "/instance/state", `"Run"`, ""},
		"something behind it":   {"application/json", "/instance/state", `"Run" and more`, ""},
		"another content type":  {"text/plain", "/instance/state", `"Run"`, `expected content type "application/json", got "text/plain"`},
		"not a word":            {"application/json", "/instance/state", `{"state":"Run"}`, "unable to parse JSON body: "},
		"unknown word":          {"application/json", "/instance/state", `"run"`, "unable to parse JSON body: at byte 5: want one of"},
		"nothing":               {"application/json", "/instance/state", "", "unable to parse JSON body: "},
		"no generation":         {"application/json", "/instance/state-monitor", "{}", "unable to parse JSON body: "},
		"generation below zero": {"application/json", "/instance/state-monitor", `{"gen":-1}`, "unable to parse JSON body: "},
		"one byte too many": {"application/json", "/instance/state", `"Run"` + strings.Repeat(" ", 1<<20-4),
			"request body exceeded maximum size of 1048576 bytes"},
		"as many as allowed": {"application/json", "/instance/state", `"Run"` + strings.Repeat(" ", 1<<20-5), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := overSocket(t, server.Options{})
			c.T = t
			c.Want(c.Ensure(), "Created")
			method := "PUT"
			if strings.HasSuffix(tc.path, "monitor") {
				method = "GET"
			}
			r := c.Request(method, tc.path, tc.body)
			r.Header.Del("content-type")
			if tc.contentType != "" {
				r.Header.Set("content-type", tc.contentType)
			}
			got, err := c.Try(r)
			switch {
			case err != nil:
				t.Error(err)
			case tc.want == "" && got.Status != http.StatusNoContent:
				t.Errorf("got %d %s, want 204", got.Status, got.Body)
			case tc.want != "" && (got.Status != 400 || !strings.HasPrefix(got.Err(t).Message, tc.want)):
				t.Errorf("got %d %s, want 400 %q", got.Status, got.Body, tc.want)
			}
		})
	}
}

// Invalid specs; the message must name the wrong part.
func TestSpecs(t *testing.T) {
	t.Parallel()
	const disk = `"` + servertest.DiskID + `":` + servertest.Crucible + `,"disk":`
	const components = "init.value.spec.components."
	for name, tc := range map[string]struct{ body, want string }{
		"unknown type":         {servertest.SpecWith(`"x":{"type":"floppy","component":{}}`), components + "x.type: want one of"},
		"a third key":          {servertest.SpecWith(`"x":{"type":"serial_port","component":{"num":"com1"},"y":1}`), components + "x.y: want no field of this name"},
		"no component":         {servertest.SpecWith(`"x":{"type":"serial_port"}`), components + "x.component: want an object"},
		"no type":              {servertest.SpecWith(`"x":{"component":{}}`), components + "x.type: want one of"},
		"key in a component":   {servertest.SpecWith(`"x":{"type":"serial_port","component":{"num":"com1","y":1}}`), components + "x.component.y: want no field of this name"},
		"no write cache":       {servertest.SpecWith(disk + strings.Replace(servertest.NVMe, `"has_write_cache":true,`, "", 1)), "component.has_write_cache: want true or false, got nothing"},
		"short serial number":  {servertest.SpecWith(disk + strings.Replace(servertest.NVMe, `[0,`, `[`, 1)), "serial_number: want a list of 20, got a list of 19"},
		"port of no kind":      {servertest.SpecWith(`"x":{"type":"serial_port","component":{"num":"com9"}}`), components + "x.component.num: want one of"},
		"device, no backend":   {servertest.SpecWith(`"disk":` + servertest.NVMe), `device "disk": no backend`},
		"one slot for two":     {servertest.SpecWith(disk + servertest.NVMe + `,"disk2":` + servertest.NVMe), `"disk" and "disk2" share PCI path 0.16.0`},
		"key in the board":     {strings.Replace(servertest.ColdStart, `"cpus"`, `"y":1,"cpus"`, 1), "init.value.spec.board.y: want no field of this name"},
		"too many processors":  {strings.Replace(servertest.ColdStart, `"cpus":2`, `"cpus":256`, 1), "board.cpus: want an integer from 0 to 255"},
		"part of a processor":  {strings.Replace(servertest.ColdStart, `"cpus":2`, `"cpus":2.0`, 1), "board.cpus: want an integer"},
		"too much memory":      {strings.Replace(servertest.ColdStart, `"memory_mb":1024`, `"memory_mb":18446744073709551616`, 1), "board.memory_mb: want an integer"},
		"key twice":            {strings.Replace(servertest.ColdStart, `"cpus":2`, `"cpus":2,"cpus":2`, 1), "board.cpus: want a key once"},
		"instance id":          {strings.Replace(servertest.ColdStart, `"id":"4a1d`, `"id":"`, 1), "properties.id: want a string of the format uuid"},
		"method":               {strings.Replace(servertest.ColdStart, `"Spec"`, `"Other"`, 1), `init.method: want one of ["MigrationTarget" "Spec"]`},
		"source address":       {strings.Replace(servertest.MigrationTarget, "[fd00::7]:12400", "fd00::7", 1), "init.value.src_addr: "},
		"replaced by what":     {strings.Replace(servertest.MigrationTarget, "CrucibleStorageBackend", "Disk", 1), `component: want one of ["CrucibleStorageBackend"`},
		"key in a replacement": {strings.Replace(servertest.MigrationTarget, `"readonly"`, `"y":1,"readonly"`, 1), "spec.y: want no field of this name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := inProcess(t, server.Options{})
			got := c.Call("PUT", "/instance", tc.body)
			if got.Status != 400 || !strings.Contains(got.Err(t).Message, tc.want) {
				t.Errorf("got %d %s, want 400 %q", got.Status, got.Body, tc.want)
			}
			c.Want(c.Put("Run"), "Failed Dependency NoInstance")
		})
	}
}

// Unknown keys are ignored where the API allows them.
func TestTolerance(t *testing.T) {
	t.Parallel()
	body := strings.Replace(servertest.ColdStart, `"properties":{`, `"y":1,"properties":{"y":1,`, 1)
	body = strings.Replace(body, `"board":`, `"y":1,"smbios":null,"board":`, 1)
	c := inProcess(t, server.Options{})
	c.Want(c.Call("PUT", "/instance", body), "Created")
}
