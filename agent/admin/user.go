package admin

import (
	"os/user"
	"strconv"
	"sync"
	"time"

	"github.com/sledagent/sledagent/internal/plain"
)

const (
	// lookupBudget is how long a request waits for the name of its user. A directory
	// service that does not answer must not delay a kill.
	lookupBudget = 100 * time.Millisecond
	// maxUserName bounds a name, in bytes, and maxUsers the number of known ones.
	maxUserName = 32
	maxUsers    = 1000
)

// users are the names of users, each looked up once.
type users struct {
	lookup func(uid string) (*user.User, error)
	// looking has a token while a lookup is under way.
	looking chan struct{}

	mu    sync.Mutex
	known map[int]string
}

func newUsers() *users {
	return &users{lookup: user.LookupId, looking: make(chan struct{}, 1), known: map[int]string{}}
}

// name returns the name of a user, or "uid N" for one without a name or whose name is not
// known in time.
func (u *users) name(uid int) string {
	unnamed := "uid " + strconv.Itoa(uid)
	if name, ok := u.get(uid); ok {
		return name
	}
	select {
	case u.looking <- struct{}{}:
	default:
		return unnamed
	}
	found := make(chan string, 1)
	go func() {
		name := unnamed
		if account, err := u.lookup(strconv.Itoa(uid)); err == nil && account.Username != "" {
			name = plain.Text(account.Username, maxUserName)
			u.put(uid, name)
		}
		<-u.looking // Before the answer, so that the next user is looked up, too.
		found <- name
	}()
	select {
	case name := <-found:
		return name
	case <-time.After(lookupBudget):
		return unnamed
	}
}

func (u *users) get(uid int) (string, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	name, ok := u.known[uid]
	return name, ok
}

func (u *users) put(uid int, name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.known) < maxUsers {
		u.known[uid] = name
	}
}
