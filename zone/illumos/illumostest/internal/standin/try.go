package standin

// Try calls do, which may use a Store, and returns the stand-in's own trouble if
// it met any. It is for callers that do not end with it.
func Try(do func()) (err error) {
	defer func() {
		switch t := recover().(type) {
		case nil:
		case trouble:
			err = t.err
		default:
			panic(t)
		}
	}()
	do()
	return nil
}
