package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/internal/conns"
)

// vpcs keeps what Nexus sends to every sled about VPCs. It is recorded and not applied: no
// backend has ports that could use it. It is in memory, since Nexus sends it again. Its
// tasks v2p_manager and vpc_route_manager compare what a sled lists with what it should
// have, and send gateways each time. Only the firewall rules of a VPC are sent when they
// change and not again; a VM's registration has those of its own VPC.
type vpcs struct {
	mu       sync.Mutex
	mappings map[virtual]mapping
	routes   map[routerID]routes
	rules    map[uuid.UUID]json.RawMessage
	gateways json.RawMessage
	// size is that of all rules, routes and gateways, in bytes of JSON.
	size int
}

const (
	// maxMappings is more than the guest interfaces of a rack.
	maxMappings = 1 << 16
	// maxVPCs bounds the VPCs with rules, and the routers with routes.
	maxVPCs = 4096
	// maxVPCBytes bounds vpcs.size.
	maxVPCBytes = 32 << 20
)

func newVPCs() *vpcs {
	return &vpcs{mappings: map[virtual]mapping{}, routes: map[routerID]routes{}, rules: map[uuid.UUID]json.RawMessage{}}
}

// routeVPCs adds the paths of VPCs.
func (s *Server) routeVPCs(router *echo.Echo) {
	v := s.vpcs
	add(router, "/v2p", methods{http.MethodGet: s.large(conns.JSON(v.listMappings)),
		http.MethodPut:    accept(s, "set_v2p", v.setMapping),
		http.MethodDelete: accept(s, "del_v2p", v.deleteMapping)})
	add(router, "/vpc-routes", methods{http.MethodPut: accept(s, "set_vpc_routes", v.setRoutes),
		http.MethodGet: s.large(conns.JSON(v.listRoutes))})
	add(router, "/vpc/:vpc_id/firewall/rules", methods{http.MethodPut: accept(s, "vpc_firewall_rules_put", v.setRules)})
	add(router, "/eip-gateways", methods{http.MethodPut: accept(s, "set_eip_gateways", v.setGateways)})
	// The document permits no probe: one is a zone that is no VMM's, which this agent does
	// not make. Nexus sends every sled its set again and again.
	add(router, "/probes", methods{http.MethodPut: accept(s, "probes_put", func(echo.Context, struct{}) error { return nil })})
}

// accept returns a handler that decodes the body of an operation, keeps it and answers 204.
func accept[T any](s *Server, operation string, keep func(echo.Context, T) error) echo.HandlerFunc {
	parse := wire.Body[T](operation)
	return func(c echo.Context) error {
		v, err := decode(s, c, parse)
		if err != nil {
			return err
		}
		if err := keep(c, v); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	}
}

// A virtual is an address in a VPC.
type virtual struct {
	vni uint32
	ip  netip.Addr
}

// mapping is VirtualNetworkInterfaceHost on the wire: where a virtual address is.
type mapping struct {
	IP   netip.Addr `json:"virtual_ip"`
	MAC  wire.MAC   `json:"virtual_mac"`
	Host netip.Addr `json:"physical_host_ip"`
	VNI  uint32     `json:"vni"`
}

func (m mapping) at() virtual { return virtual{m.VNI, m.IP} }

func (v *vpcs) setMapping(_ echo.Context, m mapping) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.mappings[m.at()]; !known && len(v.mappings) >= maxMappings {
		return full("mappings", maxMappings)
	}
	v.mappings[m.at()] = m
	return nil
}

// deleteMapping deletes a mapping, unless the address is mapped to another host by now: of
// two Nexuses one may be late.
func (v *vpcs) deleteMapping(_ echo.Context, m mapping) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mappings[m.at()] == m {
		delete(v.mappings, m.at())
	}
	return nil
}

func (v *vpcs) listMappings(echo.Context) ([]mapping, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.AppendSeq(make([]mapping, 0, len(v.mappings)), maps.Values(v.mappings)), nil
}

// routes are what is known of a router's routes.
type routes struct {
	version *routerVersion
	list    json.RawMessage
}

// routerVersion is RouterVersion on the wire.
type routerVersion struct {
	Router  uuid.UUID `json:"router_id"`
	Version uint64    `json:"version"`
}

// replaces reports whether routes of version v replace those of version old.
func (v *routerVersion) replaces(old *routerVersion) bool {
	return v == nil || old == nil || v.Router != old.Router || v.Version > old.Version
}

// routerID is RouterId on the wire: the system router of a VPC, or the one of a subnet of
// it.
type routerID struct {
	Kind routerKind `json:"kind"`
	VNI  uint32     `json:"vni"`
}

type routerKind struct {
	Type   string       `json:"type"`
	Subnet netip.Prefix `json:"subnet,omitzero"`
}

// routeState is ResolvedVpcRouteState on the wire, and routeSet is ResolvedVpcRouteSet.
type routeState struct {
	ID      routerID       `json:"id"`
	Version *routerVersion `json:"version"`
}

type routeSet struct {
	ID      routerID        `json:"id"`
	Version *routerVersion  `json:"version"`
	Routes  json.RawMessage `json:"routes"`
}

func (v *vpcs) setRoutes(_ echo.Context, sets []routeSet) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, set := range sets {
		if set.ID.Kind.Type == "system" {
			set.ID.Kind.Subnet = netip.Prefix{} // it has none, whatever was sent
		}
		old, known := v.routes[set.ID]
		if known && !set.Version.replaces(old.version) {
			continue
		}
		if !known && len(v.routes) >= maxVPCs {
			return full("routers", maxVPCs)
		}
		if err := v.resize(len(old.list), len(set.Routes)); err != nil {
			return err
		}
		v.routes[set.ID] = routes{set.Version, set.Routes}
	}
	return nil
}

func (v *vpcs) listRoutes(echo.Context) ([]routeState, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]routeState, 0, len(v.routes))
	for id, r := range v.routes {
		list = append(list, routeState{id, r.version})
	}
	return list, nil
}

// setRules keeps a VPC's firewall rules as they were sent. The document says nothing about
// the rules themselves, whose form depends on the version.
func (v *vpcs) setRules(c echo.Context, rules json.RawMessage) error {
	id, err := pathID(c, "vpc_id")
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	old, known := v.rules[id]
	if !known && len(v.rules) >= maxVPCs {
		return full("VPCs", maxVPCs)
	}
	if err := v.resize(len(old), len(rules)); err != nil {
		return err
	}
	v.rules[id] = rules
	return nil
}

// gatewayMap is ExternalIpGatewayMap on the wire: the internet gateways of external
// addresses.
type gatewayMap struct {
	Mappings json.RawMessage `json:"mappings"`
}

func (v *vpcs) setGateways(_ echo.Context, gateways gatewayMap) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.resize(len(v.gateways), len(gateways.Mappings)); err != nil {
		return err
	}
	v.gateways = gateways.Mappings
	return nil
}

// resize accounts for a text that replaces another. v.mu is held.
func (v *vpcs) resize(was, is int) error {
	if v.size-was+is > maxVPCBytes {
		return full("bytes of rules and routes", maxVPCBytes)
	}
	v.size += is - was
	return nil
}

func full(of string, most int) error {
	return unavailable(fmt.Errorf("agent is full: the limit is %d %s", most, of))
}
