package wire_test

import (
	"testing"

	"github.com/sledagent/sledagent/agent/wire"
)

func BenchmarkDecode(b *testing.B) {
	body := fullBody(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}
