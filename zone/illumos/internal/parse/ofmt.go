package parse

import (
	"net/netip"
	"strconv"
	"strings"
)

// Column parses the output of dladm -p or ipadm -p with one field: each line is a
// value without escapes (illumos libinetutil ofmt.c).
func Column(out []byte) []string {
	var values []string
	for line := range strings.Lines(string(out)) {
		if value := strings.TrimRight(line, "\r\n"); value != "" {
			values = append(values, value)
		}
	}
	return values
}

// Records parses the output of dladm -p or ipadm -p with n fields, n > 1. Colons
// separate the fields; a backslash escapes a colon or backslash in a value. Lines
// with another number of fields are omitted.
func Records(out []byte, n int) [][]string {
	var records [][]string
	for line := range strings.Lines(string(out)) {
		if f := splitEscaped(strings.TrimRight(line, "\r\n")); len(f) == n {
			records = append(records, f)
		}
	}
	return records
}

func splitEscaped(line string) []string {
	var fields []string
	var field strings.Builder
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line):
			i++
			field.WriteByte(line[i])
		case line[i] == ':':
			fields = append(fields, field.String())
			field.Reset()
		default:
			field.WriteByte(line[i])
		}
	}
	return append(fields, field.String())
}

// An Addr is an address of the host.
type Addr struct {
	// Interface is the name of the IP interface and of its datalink.
	Interface string
	Type      string
	State     string
	Addr      netip.Addr
	// Bits is the length of its prefix; -1 if none was printed.
	Bits int
}

// Contains reports whether other is in the prefix of a.
func (a Addr) Contains(other netip.Addr) bool {
	p, err := a.Addr.Prefix(a.Bits)
	return err == nil && p.Contains(other.Unmap())
}

// AddrFields are the fields of ipadm show-addr that Addrs parses.
const AddrFields = "ADDROBJ,TYPE,STATE,ADDR"

// Addrs parses the output of ipadm show-addr -p -o AddrFields. It omits entries
// without an address, such as DHCP without a lease.
func Addrs(out []byte) []Addr {
	var addrs []Addr
	for _, f := range Records(out, 4) {
		iface, _, ok := strings.Cut(f[0], "/")
		addr, bits, err := readAddr(f[3])
		if ok && err == nil {
			addrs = append(addrs, Addr{Interface: iface, Type: f[1], State: f[2], Addr: addr, Bits: bits})
		}
	}
	return addrs
}

// readAddr parses an address as ipadm prints it: it may have a scope and a prefix
// length, and on a point-to-point link the address of the other end follows.
func readAddr(s string) (addr netip.Addr, bits int, err error) {
	s, _, _ = strings.Cut(s, "->")
	s, length, ok := strings.Cut(s, "/")
	bits = -1
	if ok {
		if bits, err = strconv.Atoi(length); err != nil {
			return netip.Addr{}, -1, err
		}
	}
	s, _, _ = strings.Cut(s, "%")
	addr, err = netip.ParseAddr(s)
	return addr, bits, err
}
