package bhyve

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

// The values are copied from vmm_dev.h, not computed as in abi.go.
func TestABI(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct{ got, want int }{
		"VMM_DESTROY_VM":        {vmmDestroyVM, 0x00564d02},
		"VMM_INTERFACE_VERSION": {vmmInterfaceVersion, 0x00564d04},
		"VMM_RESV_QUERY":        {vmmReservoirQuery, 0x00564d10},
		"VMM_RESV_SET_TARGET":   {vmmReservoirTarget, 0x00564d11},
		"VM_DESTROY_SELF":       {vmDestroySelf, 0x00766d25},
		"VMM_CURRENT_INTERFACE": {interfaceVersion, 18},
		"VM_MAX_NAMELEN":        {nameSize, 128},
	} {
		if v.got != v.want {
			t.Errorf("%s is %#x, want %#x", name, v.got, v.want)
		}
	}
}

func TestLayouts(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		of      reflect.Type
		size    uintptr
		offsets map[string]uintptr
	}{
		{reflect.TypeFor[destroyReq](), 128, map[string]uintptr{"name": 0}},
		{reflect.TypeFor[reservoirQuery](), 32, map[string]uintptr{"free": 0, "allocated": 8, "transient": 16, "limit": 24}},
		{reflect.TypeFor[reservoirTarget](), 24, map[string]uintptr{"target": 0, "chunk": 8, "result": 16}},
	} {
		if v.of.Size() != v.size {
			t.Errorf("%v has %d bytes, want %d", v.of, v.of.Size(), v.size)
		}
		if v.of.NumField() != len(v.offsets) {
			t.Errorf("%v has %d fields, want %d", v.of, v.of.NumField(), len(v.offsets))
		}
		for name, want := range v.offsets {
			if f, ok := v.of.FieldByName(name); !ok || f.Offset != want {
				t.Errorf("%v: field %s is at %d, want %d", v.of, name, f.Offset, want)
			}
		}
	}
}

func TestEncodeDestroy(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("x", 127)
	req, err := encodeDestroy(longest)
	if err != nil {
		t.Fatal(err)
	}
	raw := (*[128]byte)(unsafe.Pointer(req))
	if string(raw[:127]) != longest || raw[127] != 0 {
		t.Errorf("encoded as %q", raw[:])
	}
}

func TestValidName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"5bb1ae42-3a0d-4d3e-8c51-0d3f0e1b7c11": true,
		"a":                                    true,
		"...":                                  true,
		strings.Repeat("n", 127):               true,
		strings.Repeat("n", 128):               false,
		"":                                     false,
		"a/b":                                  false,
		"/":                                    false,
		".":                                    false,
		"..":                                   false,
		"a\x00b":                               false,
	} {
		err := ValidName(name)
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
