package logging

import (
	"bytes"
	"fmt"
	"os"
	"syscall"

	"github.com/rs/zerolog"
)

// isJournal reports whether f is the stream that systemd has connected to the
// journal. JOURNAL_STREAM names its device and inode (systemd.exec(5)). The variable
// alone proves nothing: standard error may have been redirected since.
func isJournal(f *os.File, stream string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// prioritised puts the priority of sd-daemon(3) before each line, so that
// journalctl -p finds warnings.
func (f format) prioritised() format {
	return func(level zerolog.Level, line []byte) []byte {
		prefix := fmt.Appendf(nil, "<%d>", priority(level))
		text := bytes.TrimSuffix(f(level, line), []byte("\n"))
		text = bytes.ReplaceAll(text, []byte("\n"), append([]byte("\n"), prefix...))
		return append(append(prefix, text...), '\n')
	}
}

// priority is a level in the numbers of syslog(3).
func priority(l zerolog.Level) int {
	switch l {
	case zerolog.TraceLevel, zerolog.DebugLevel:
		return 7
	case zerolog.WarnLevel:
		return 4
	case zerolog.ErrorLevel:
		return 3
	case zerolog.FatalLevel, zerolog.PanicLevel:
		return 2
	default:
		return 6
	}
}
