package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/vmm"
)

// A VMM that was ended by force leaves one bundle, which outlives the agent until it is
// deleted; one that ended in order leaves none.
func TestBundleOfAForcedEnd(t *testing.T) {
	h := newHarness(t, setup{})
	inOrder := h.launch()
	inOrder.stopAndEnd()
	v := faults("ignore-stop").launch(h)
	v.stopsAtDeadline(0)
	made := h.bundles("/" + v.zone())
	waitFor(t, func() string {
		if made = h.bundles("/" + v.zone()); len(made) == 0 {
			return "there is no bundle"
		}
		return ""
	})
	if len(made) != 1 || made[0].Cause != bundle.TerminatedInstance || len(h.bundles("/"+inOrder.zone())) != 0 {
		t.Errorf("the bundles are %+v", h.bundles(""))
	}
	h.terminate()
	h.start()
	waitFor(t, func() string {
		return strings.TrimPrefix(fmt.Sprint(h.call("GET", "/zones/bundles", nil).status), "200")
	})
	if again := h.bundles("?filter=" + v.zone()); len(again) != 1 || again[0] != made[0] {
		t.Errorf("after a restart the bundles are %+v, not %+v", again, made)
	}

	path := "/zones/bundles/" + v.zone() + "/" + made[0].ID.Bundle.String()
	got := unpacked(t, h.call("GET", path, nil).wants(t, 200).body)
	var status vmm.Status
	if err := json.Unmarshal(got["status.json"], &status); err != nil || status.Zone != v.zone() || len(status.Events) == 0 {
		t.Errorf("status.json is %s, %v", got["status.json"], err)
	}
	if len(got["metadata.toml"]) == 0 || len(got["server.log"]) == 0 {
		t.Errorf("the bundle has %q", got)
	}
	h.call("DELETE", path, nil).wants(t, 204)
	h.call("GET", path, nil).wants(t, 404)
	if left := h.bundles(""); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

// bundles lists bundles.
func (h *harness) bundles(of string) (all []bundle.Metadata) {
	h.t.Helper()
	must(h.t, json.Unmarshal(h.call("GET", "/zones/bundles"+of, nil).wants(h.t, 200).body, &all))
	return all
}

// unpacked returns the files of a gzipped tar archive.
func unpacked(t testing.TB, content []byte) map[string][]byte {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(content))
	must(t, err)
	files, archive := map[string][]byte{}, tar.NewReader(zipped)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(t, err)
		files[head.Name], err = io.ReadAll(archive)
		must(t, err)
	}
}

// The list of zones for support is text, of the host's zoneadm or like it.
func TestZoneadmInfo(t *testing.T) {
	h := newHarness(t, setup{})
	v := h.launch()
	var info struct{ Success struct{ Stdio string } }
	must(t, json.Unmarshal(h.call("GET", "/support/zoneadm-info", nil).wants(t, 200).body, &info))
	if !strings.Contains(info.Success.Stdio, ":"+v.zone()+":running:") {
		t.Errorf("the list is %q", info.Success.Stdio)
	}
	v.stopAndEnd()
}
