//go:build !linux

package proc

// Tree returns the process itself alone.
func Tree(root ID, _ int) ([]int, error) {
	alive, err := Alive(root)
	if err == nil && !alive {
		err = ErrGone
	}
	return []int{root.PID}, err
}

// Stacks returns nothing: this system shows no kernel stacks.
func Stacks([]int) ([]byte, error) { return nil, nil }

// Files returns nothing: what the system's own commands print is kept instead.
func Files([]int) ([]byte, error) { return nil, nil }
