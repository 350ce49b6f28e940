package zone

import "context"

// A ConsoleReader is a Manager whose zones may keep the end of their guests' serial consoles.
type ConsoleReader interface {
	// Console returns the end of the console, at most max bytes, as plain text; none if the zone
	// keeps none. It is there as long as the zone's files.
	Console(ctx context.Context, name string, max int) ([]byte, error)
}

// Console returns the end of a zone's console if the Manager is a ConsoleReader.
func Console(ctx context.Context, m Manager, name string, most int) ([]byte, error) {
	if r, ok := m.(ConsoleReader); ok {
		return r.Console(ctx, name, most)
	}
	return nil, nil
}
