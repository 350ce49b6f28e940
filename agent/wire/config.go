package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// A member is a member of local_config that the agent uses, in the versions from since
// to before, exclusive.
type member struct {
	key           string
	since, before uint64
	// read adds the value to a registration. An error's path is relative to the value.
	read func(*vmm.Registration, []byte) *Error
}

const always = math.MaxUint64

// members converts local_config of every version. What a version does not have yet is
// unknown there and ignored, like everything unknown.
var members = []member{
	{"hostname", 0, always, as(func(r *vmm.Registration, name string) *Error { r.Hostname = name; return nil })},
	{"nics", 0, always, as(readNICs)},
	{"primary_nic_mtu", 41, always, as(func(r *vmm.Registration, mtu uint32) *Error { r.PrimaryMTU = int(mtu); return nil })},
	{"delegated_zvols", 9, always, as(readZvols)},
	{"multicast_groups", 7, always, as(readGroups)},
	{"attached_subnets", 18, always, as(readSubnets)},
	{"external_ips", 32, always, as(readIPsByFamily)},
	{"external_ips", 11, 32, as(readTaggedIPs)},
	{"source_nat", 0, 11, as(func(r *vmm.Registration, nat *sourceNAT) *Error { return addIPs(r, ipSet{SourceNAT: nat}, "") })},
	{"ephemeral_ip", 0, 11, as(func(r *vmm.Registration, ip *netip.Addr) *Error { return addIPs(r, ipSet{Ephemeral: ip}, "") })},
	{"floating_ips", 0, 11, as(func(r *vmm.Registration, ips []netip.Addr) *Error { return addIPs(r, ipSet{Floating: ips}, "") })},
}

// as decodes a member's value for a function.
func as[T any](add func(*vmm.Registration, T) *Error) func(*vmm.Registration, []byte) *Error {
	return func(r *vmm.Registration, text []byte) *Error {
		var v T
		if err := unmarshal(text, &v); err != nil {
			return err
		}
		return add(r, v)
	}
}

type nic struct {
	ID      uuid.UUID `json:"id"`
	Name    string    `json:"name"`
	MAC     string    `json:"mac"`
	Slot    int       `json:"slot"`
	VNI     uint32    `json:"vni"`
	Primary bool      `json:"primary"`
}

func readNICs(r *vmm.Registration, nics []nic) *Error {
	for _, n := range nics {
		n.MAC = canonicalMAC(n.MAC)
		r.NICs = append(r.NICs, vmm.NIC(n))
	}
	return nil
}

// canonicalMAC returns an address as six pairs of upper-case digits with colons between.
func canonicalMAC(s string) string {
	digits, err := hex.DecodeString(strings.NewReplacer(":", "", "-", "", ".", "").Replace(s))
	if err != nil {
		return s // the document's pattern does not allow it
	}
	return strings.ReplaceAll(fmt.Sprintf("% X", digits), " ", ":")
}

// A MAC is an address as six pairs of upper-case digits with colons between.
type MAC string

func (m *MAC) UnmarshalText(text []byte) error {
	*m = MAC(canonicalMAC(string(text)))
	return nil
}

type zvol struct {
	Type    string    `json:"type"`
	Zpool   uuid.UUID `json:"zpool_id"`
	Dataset uuid.UUID `json:"dataset_id"`
}

// readZvols adds the raw devices: the reference uses rdsk rather than dsk, which would
// add a second cache. All local storage was encrypted before version 17.
func readZvols(r *vmm.Registration, zvols []zvol) *Error {
	for _, z := range zvols {
		dataset := "crypt/local_storage"
		if z.Type == "local_storage_unencrypted" {
			dataset = z.Type
		}
		r.Zvols = append(r.Zvols, "/dev/zvol/rdsk/oxp_"+z.Zpool.String()+"/"+dataset+"/"+z.Dataset.String()+"/vol")
	}
	return nil
}

type group struct {
	IP      netip.Addr   `json:"group_ip"`
	Sources []netip.Addr `json:"sources"`
}

// readGroups adds each address once, with what was said last.
func readGroups(r *vmm.Registration, groups []group) *Error {
	for i, g := range groups {
		if !g.IP.IsMulticast() {
			return refuse(fmt.Sprintf("[%d].group_ip", i), "a multicast address", g.IP)
		}
		r.Network.Groups = replace(r.Network.Groups, vmm.Group(g), func(o vmm.Group) bool { return o.IP == g.IP })
	}
	return nil
}

type subnet struct {
	Net  netip.Prefix `json:"subnet"`
	Kind string       `json:"kind"`
}

// attached returns the subnet. Bits beyond the prefix do not distinguish networks.
func (s subnet) attached() vmm.Subnet { return vmm.Subnet{Net: s.Net.Masked(), Kind: s.Kind} }

func readSubnets(r *vmm.Registration, subnets []subnet) *Error {
	for _, s := range subnets {
		a := s.attached()
		r.Network.Subnets = replace(r.Network.Subnets, a, func(o vmm.Subnet) bool { return o.Net == a.Net })
	}
	return nil
}

// replace replaces the item that is the same, or appends the new one.
func replace[T any](list []T, v T, same func(T) bool) []T {
	if i := slices.IndexFunc(list, same); i >= 0 {
		list[i] = v
		return list
	}
	return append(list, v)
}

// An ipSet is the external addresses of one family.
type ipSet struct {
	SourceNAT *sourceNAT   `json:"source_nat"`
	Ephemeral *netip.Addr  `json:"ephemeral_ip"`
	Floating  []netip.Addr `json:"floating_ips"`
}

type sourceNAT struct {
	IP    netip.Addr `json:"ip"`
	First uint16     `json:"first_port"`
	Last  uint16     `json:"last_port"`
}

// families are the addresses of both families. Type is only in the form that came before.
type families struct {
	V4   *ipSet         `json:"v4"`
	V6   *ipSet         `json:"v6"`
	Type jsontext.Value `json:"type"`
}

func readIPsByFamily(r *vmm.Registration, f families) *Error {
	if f.Type != nil {
		// The reference ignores it, and the VMM has no addresses.
		return refuse(".type", `"v4" and "v6", the form since version 32`, string(bytes.Trim(f.Type, `"`)))
	}
	return f.add(r, "")
}

func (f families) add(r *vmm.Registration, at string) *Error {
	if f.V4 != nil {
		if err := addIPs(r, *f.V4, at+".v4"); err != nil {
			return err
		}
	}
	if f.V6 != nil {
		return addIPs(r, *f.V6, at+".v6")
	}
	return nil
}

func readTaggedIPs(r *vmm.Registration, tagged *struct {
	Type  string         `json:"type"`
	Value jsontext.Value `json:"value"`
}) *Error {
	if tagged == nil {
		return nil
	}
	if tagged.Type == "dual_stack" {
		return as(func(r *vmm.Registration, f families) *Error { return f.add(r, ".value") })(r, tagged.Value)
	}
	return as(func(r *vmm.Registration, set ipSet) *Error { return addIPs(r, set, ".value") })(r, tagged.Value)
}

// addIPs adds addresses, of which at is the place.
func addIPs(r *vmm.Registration, set ipSet, at string) *Error {
	external := &r.Network.External
	if nat := set.SourceNAT; nat != nil {
		if nat.First > nat.Last {
			return refuse(at+".source_nat.last_port", "a port not below first_port", nat.Last)
		}
		external.SourceNAT = append(external.SourceNAT, vmm.SourceNAT(*nat))
	}
	if set.Ephemeral != nil {
		external.Ephemeral = append(external.Ephemeral, *set.Ephemeral)
	}
	for _, ip := range set.Floating {
		external.Floating = replace(external.Floating, ip, func(o netip.Addr) bool { return o == ip })
	}
	return nil
}

func refuse(path, want string, got any) *Error {
	return &Error{Path: path, Want: want, Got: strconv.Quote(fmt.Sprint(got))}
}
