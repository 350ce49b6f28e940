package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/sledagent/sledagent/internal/plain"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

var _ zone.ConsoleReader = (*Manager)(nil)

// Console implements zone.ConsoleReader: it is a file of the server's. Control characters are
// replaced by question marks.
func (m *Manager) Console(ctx context.Context, name string, most int) ([]byte, error) {
	err := ctx.Err()
	if err == nil {
		err = zone.ValidName(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read console of zone: %w", err)
	}
	root, err := zonedir.Open(m.dir, name)
	if err != nil {
		return nil, fmt.Errorf("read console of zone %s: %w", name, err)
	}
	defer root.Close()
	data, err := zonedir.End(root, zonedir.ConsoleFile, most)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read console of zone %s: %w", name, err)
	}
	return []byte(plain.Text(string(data), most)), nil
}
