package propolis_test

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/propolis/sim"
)

// A server of each API version accepts the spec of each version of the sled API.
func TestSpecOfEveryVersion(t *testing.T) {
	t.Parallel()
	const disk = `{"board":{"chipset":{"type":"i440_fx","value":{"enable_pcie":false}},"cpus":1,"memory_mb":512},"components":{` +
		`"d":{"type":"nvme_disk","component":{"backend_id":"b","has_write_cache":false,` +
		`"pci_path":{"bus":0,"device":16,"function":0},"serial_number":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}},` +
		`"b":{"type":"blob_storage_backend","component":{"base64":"","readonly":true}}}}`
	for _, version := range []string{"5.0.0", "6.0.0"} {
		for _, spec := range []string{disk, strings.Replace(disk, `"has_write_cache":false,`, "", 1)} {
			newest, err := dropshot.ParseVersion(version)
			if err != nil {
				t.Fatal(err)
			}
			server := sim.New(sim.Options{Newest: newest})
			listener := httptest.NewServer(server.Handler())
			t.Cleanup(func() { server.Close(); listener.Close() })
			c := propolis.NewClient(netip.MustParseAddrPort(listener.Listener.Addr().String()), propolis.Options{APIVersion: version})
			err = c.Ensure(t.Context(), propolis.EnsureRequest{Properties: propolis.Properties{ID: uuid.New()}, Spec: []byte(spec)})
			if err != nil {
				t.Errorf("a server of %s: %v for %s", version, err, spec)
			}
		}
	}
}
