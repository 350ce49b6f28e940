package parse

import (
	"net/netip"
	"strings"
)

// Column reads the output of dladm -p or ipadm -p with one field: each value
// stands raw on its line (illumos libinetutil ofmt.c).
func Column(out []byte) []string {
	var values []string
	for line := range strings.Lines(string(out)) {
		if value := strings.TrimRight(line, "\r\n"); value != "" {
			values = append(values, value)
		}
	}
	return values
}

// Records reads the output of dladm -p or ipadm -p with several fields, of
// which there are n: they stand between colons, and a colon or a backslash in a
// value follows a backslash. Lines with another number of fields are left out.
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
	// Interface is the name of the IP interface, that of its datalink.
	Interface string
	Type      string
	State     string
	Addr      netip.Addr
}

// AddrFields are the fields of ipadm show-addr that Addrs reads.
const AddrFields = "ADDROBJ,TYPE,STATE,ADDR"

// Addrs reads the output of ipadm show-addr -p -o AddrFields. What is no
// address, such as that of DHCP without a lease, is left out.
func Addrs(out []byte) []Addr {
	var addrs []Addr
	for _, f := range Records(out, 4) {
		iface, _, ok := strings.Cut(f[0], "/")
		addr, err := readAddr(f[3])
		if ok && err == nil {
			addrs = append(addrs, Addr{Interface: iface, Type: f[1], State: f[2], Addr: addr})
		}
	}
	return addrs
}

// readAddr reads an address in one of ipadm's forms: it may have a scope and a
// prefix length, and that of a point-to-point link names the other end too.
func readAddr(s string) (netip.Addr, error) {
	s, _, _ = strings.Cut(s, "->")
	s, _, _ = strings.Cut(s, "/")
	s, _, _ = strings.Cut(s, "%")
	return netip.ParseAddr(s)
}
