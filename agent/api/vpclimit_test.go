package api

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"testing"
)

// What is recorded takes a bounded amount of memory; what is known can be replaced.
func TestRecordsAreBounded(t *testing.T) {
	t.Parallel()
	isFull := func(err error) bool { return err != nil && problemOf(err).status == http.StatusServiceUnavailable }
	v, large := newVPCs(), json.RawMessage(make([]byte, maxBody))
	set := func(i int, routes json.RawMessage) error {
		return v.setRoutes(nil, []routeSet{{ID: routerID{VNI: uint32(i)}, Routes: routes}})
	}
	const fit = maxVPCBytes / maxBody
	for i := range fit {
		if err := set(i, large); err != nil {
			t.Fatalf("of %d routers number %d: %v", fit, i, err)
		}
	}
	if err := set(fit, large); !isFull(err) {
		t.Errorf("beyond the bytes: %v", err)
	}
	if err := v.setGateways(nil, gatewayMap{large}); !isFull(err) {
		t.Errorf("beyond the bytes: %v", err)
	}
	for _, routes := range []json.RawMessage{large, nil} {
		if err := set(1, routes); err != nil {
			t.Errorf("a router that is known: %v", err)
		}
	}
	for i := range maxVPCs {
		if err := set(i, nil); err != nil {
			t.Fatalf("of %d routers number %d: %v", maxVPCs, i, err)
		}
	}
	if err := set(maxVPCs, nil); !isFull(err) || v.size != 0 {
		t.Errorf("beyond the number: %v; %d bytes", err, v.size)
	}

	m := mapping{IP: netip.IPv6Loopback()}
	for i := range maxMappings {
		m.VNI = uint32(i)
		if err := v.setMapping(nil, m); err != nil {
			t.Fatalf("of %d mappings number %d: %v", maxMappings, i, err)
		}
	}
	if err := v.setMapping(nil, m); err != nil {
		t.Errorf("a mapping that is known: %v", err)
	}
	m.VNI++
	if err := v.setMapping(nil, m); !isFull(err) {
		t.Errorf("beyond the number of mappings: %v", err)
	}
	if err := v.deleteMapping(nil, m); err != nil || len(v.mappings) != maxMappings {
		t.Errorf("of an unknown mapping: %v, %d are left", err, len(v.mappings))
	}
}
