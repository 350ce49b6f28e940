package conns

import (
	"log"
	"time"

	"github.com/rs/zerolog"
)

// Most of what net/http logs is caused by clients, so the number of lines per time is
// bounded.
const (
	errorLines = 10
	errorsIn   = time.Second
)

// ErrorLog returns a logger for http.Server.ErrorLog.
func ErrorLog(l zerolog.Logger, listener string) *log.Logger {
	sampled := l.Sample(&zerolog.BurstSampler{Burst: errorLines, Period: errorsIn})
	return log.New(errorLog{sampled, listener}, "", 0)
}

type errorLog struct {
	log      zerolog.Logger
	listener string
}

func (e errorLog) Write(p []byte) (int, error) {
	const most = 1024 // a panic's stack is logged elsewhere
	e.log.Warn().Str("listener", e.listener).Bytes("line", p[:min(len(p), most)]).Msg("HTTP server message")
	return len(p), nil
}
