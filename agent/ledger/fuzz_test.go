package ledger

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/agent/vmm"
)

// FuzzDecodeState: whatever is taken for a state can be written down again, is
// the same then, and does not trip up the state machine.
func FuzzDecodeState(f *testing.F) {
	now := time.Unix(1772600000, 0)
	for _, e := range keptEntries() {
		data, err := encodeState(e, now, time.Hour, "this")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, rebooted, err := decodeState(data, now, time.Hour, "this", limits)
		if err != nil {
			return
		}
		again, err := encodeState(e, now, time.Hour, "this")
		if err != nil {
			t.Fatalf("%+v cannot be encoded: %v", e, err)
		}
		got, _, err := decodeState(again, now, time.Hour, "this", limits)
		if err != nil {
			t.Fatalf("%s cannot be decoded: %v", again, err)
		}
		if diff := cmp.Diff(e, got, sameEntry); diff != "" {
			t.Fatal(diff)
		}
		in := vmm.Input(vmm.Resumed{})
		if rebooted {
			in = vmm.HostRebooted{}
		}
		vmm.Step(e.State, in, now)
	})
}

// FuzzDecodeRegistration: whatever is taken for a registration can be written
// down again, with its spec to the byte.
func FuzzDecodeRegistration(f *testing.F) {
	for _, e := range keptEntries() {
		data, err := encodeRegistration(e.Registration)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRegistration(data)
		if err != nil {
			return
		}
		again, err := encodeRegistration(r)
		if err != nil {
			t.Fatalf("%+v cannot be encoded: %v", r, err)
		}
		got, err := decodeRegistration(again)
		if err != nil {
			t.Fatalf("%s cannot be decoded: %v", again, err)
		}
		if !bytes.Equal(r.Spec, got.Spec) || got.PropolisAddr != r.PropolisAddr || got.InstanceID != r.InstanceID {
			t.Fatalf("%+v became %+v", r, got)
		}
	})
}

// FuzzCheckTree: no file leads the reader of its structure astray, and bbolt not
// either when that has nothing against it.
func FuzzCheckTree(f *testing.F) {
	s := newSample(f)
	f.Add(uint16(0), uint16(0), byte(1))
	f.Fuzz(func(t *testing.T, page, at uint16, by byte) {
		file := bytes.Clone(s.file)
		file[(int(page)*pageSize+int(at)%pageSize)%len(file)] ^= by
		tree, err := newTree(bytes.NewReader(file), int64(len(file)))
		if err != nil || tree.check() != nil {
			return
		}
		s.refusesOrHolds(t, newPath(t), file)
	})
}
