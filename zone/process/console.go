package process

import (
	"context"
	"errors"
	"io/fs"

	"github.com/sledagent/sledagent/internal/plain"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

var _ zone.ConsoleReader = (*Manager)(nil)

// Console implements zone.ConsoleReader: it is a file of the server's. Control characters are
// replaced by question marks.
func (m *Manager) Console(ctx context.Context, name string, most int) ([]byte, error) {
	return answer(ctx, "read console of zone", name, func() ([]byte, error) {
		root, err := zonedir.Open(m.dir, name)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		data, err := zonedir.End(root, zonedir.ConsoleFile, most)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return []byte(plain.Text(string(data), most)), err
	})
}
