package ledger

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
)

// A log is a text file of lines, padded with zeroes. A line is the checksum of its text
// in eight hexadecimal digits, then the text: a kind and fields. The last field may be
// JSON without line breaks.
//
//	1f2e3d4c ledger 3 00000000000000001234
//	0a1b2c3d state ee000000-0000-0000-0000-000000000001 17:0:20480:9d8c7b6a {"boot":...}
//	5e6f7a8b commit 3 812
//
// The lines of one write are a batch, which counts as a whole or not at all. It ends
// with a commit line: the schema, and the batch's length in bytes. The header line has
// the schema and the length of the file with its first batch, which was on disk before
// the file was renamed to its name.
//
// A newer schema must keep the header and commit lines.

// schema is the newest version of the format.
const schema = 3

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// appendLine appends a line with the text.
func appendLine(to []byte, text string) []byte {
	return fmt.Appendf(to, "%08x %s\n", checksum([]byte(text)), text)
}

// newBatch returns a batch of lines with these texts.
func newBatch(texts []string) []byte {
	var b []byte
	for _, text := range texts {
		b = appendLine(b, text)
	}
	return appendLine(b, fmt.Sprintf("commit %d %d", schema, len(b)))
}

// header returns the first line, which has a fixed length.
func header(kept int64) []byte {
	return appendLine(nil, fmt.Sprintf("ledger %d %020d", schema, kept))
}

var headerLen = int64(len(header(0)))

// textOf returns the text of a line if its checksum matches.
func textOf(line []byte) (text string, ok bool) {
	sum, rest, _ := bytes.Cut(line, []byte{' '})
	return string(rest), string(sum) == fmt.Sprintf("%08x", checksum(rest))
}

// numbers returns the two numbers that follow a kind.
func numbers(text, kind string) (a, b int, ok bool) {
	n, err := fmt.Sscanf(text, kind+" %d %d", &a, &b)
	return a, b, n == 2 && err == nil
}

// A scan is the result of reading a log.
type scan struct {
	schema int // 0: not a log
	// lines are the valid and damaged lines, without headers and commits.
	lines []logLine
	base  int // end of the first batch
	// cut is set if the file was truncated, so that lines may be missing.
	cut bool
}

// A logLine is a line whose text can be read, or a damaged one.
type logLine struct {
	at   int
	text string
	ok   bool
}

// scanLog reads a log. A crash may have cut off the last batch, unless it is the first:
// then it is ignored and is no damage. Every line before it counts.
func scanLog(data []byte) (s scan) {
	var lines []logLine
	begins := map[int]int{} // line number by offset
	committed := 0
	for at := 0; at < len(data); {
		n := bytes.IndexByte(data[at:], '\n')
		if n < 0 {
			n = len(data) - at
		}
		text, ok := textOf(data[at : at+n])
		if begins[at] = len(lines); !ok {
			text = string(data[at : at+n])
		}
		lines = append(lines, logLine{at, text, ok})
		at += n + 1
		if version, length, isCommit := numbers(text, "commit"); ok && isCommit {
			s.schema, committed = max(s.schema, version), at
			if s.base == 0 {
				s.base = at
			}
			first, found := begins[at-n-1-length]
			if !found || slices.ContainsFunc(lines[first:], func(l logLine) bool { return !l.ok }) {
				committed = at - n - 1 - length
			}
		}
	}
	if len(lines) > 0 && lines[0].ok {
		if version, length, ok := numbers(lines[0].text, "ledger"); ok {
			s.schema, s.base, lines = max(s.schema, version), length, lines[1:]
		}
	}
	for _, l := range lines {
		if _, _, isCommit := numbers(l.text, "commit"); l.at < max(committed, s.base) && !(l.ok && isCommit) {
			s.lines = append(s.lines, l)
		}
	}
	// The file was extended with zeroes before anything was written to it.
	n := len(data)
	s.cut = s.base > n || n > 0 && data[n-1] != 0
	return s
}

// A ref is the location of a registration: file number, offset and length, with its
// checksum.
type ref struct {
	file uint64
	at   int64
	size int
	sum  uint32
}

func (r ref) String() string { return fmt.Sprintf("%d:%d:%d:%08x", r.file, r.at, r.size, r.sum) }

// maxRegistration is far more than a registration takes, in bytes.
const maxRegistration = 256 << 20

func parseRef(s string) (r ref, err error) {
	_, err = fmt.Sscanf(s, "%d:%d:%d:%x", &r.file, &r.at, &r.size, &r.sum)
	if err == nil && (r.at < 0 || r.size < 0 || r.size > maxRegistration || r.String() != s) {
		err = strconv.ErrRange
	}
	return r, err
}
