package api

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/internal/conns"
	"github.com/sledagent/sledagent/zone"
)

// Bundles keeps zone bundles; bundle.Store is one. Its methods are safe for concurrent
// use. Only Read may take as long as the disk does.
type Bundles interface {
	List() ([]bundle.Metadata, error)
	Read(bundle.ID) (content io.ReadCloser, size int64, err error)
	Delete(context.Context, bundle.ID) error
	Cleanup(context.Context) (bundle.Count, error)
	// Used is the size of all bundles in bytes, Dir where they are.
	Used() (int64, error)
	Dir() string
	Context() bundle.Context
	Update(bundle.Update) error
}

// downloads is how many bundles are sent at a time. It bounds the goroutines that a disk
// that hangs can hold.
const downloads = 8

var errManyDownloads = errors.New("too many zone bundles are being sent; try again")

// largeAnswers is how many answers of up to 10 MB are in memory at a time.
const largeAnswers = 8

var errManyAnswers = errors.New("too many large answers are being sent; try again")

// large bounds the answers of a handler that are in memory.
func (s *Server) large(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		select {
		case s.sending <- struct{}{}:
			defer func() { <-s.sending }()
			return next(c)
		default:
			return unavailable(errManyAnswers)
		}
	}
}

// routeBundles adds the paths of zone bundles.
func (s *Server) routeBundles(router *echo.Echo) {
	add(router, "/zones/bundles", methods{http.MethodGet: s.large(conns.JSON(s.listBundles))})
	add(router, "/zones/bundles/:zone_name", methods{http.MethodGet: s.large(conns.JSON(s.listZoneBundles))})
	add(router, "/zones/bundles/:zone_name/:bundle_id", methods{http.MethodGet: s.readBundle, http.MethodDelete: s.deleteBundle})
	add(router, "/zones/bundle-cleanup", methods{http.MethodPost: conns.JSON(s.cleanUpBundles)})
	add(router, "/zones/bundle-cleanup/utilization", methods{http.MethodGet: conns.JSON(s.bundleUtilization)})
	add(router, "/zones/bundle-cleanup/context", methods{http.MethodGet: conns.JSON(s.cleanupContext), http.MethodPut: s.updateCleanupContext})
}

// bundles returns the store.
func (s *Server) bundles() (Bundles, error) {
	if s.stored == nil {
		return nil, unavailable(errors.New("there is no storage for zone bundles"))
	}
	return s.stored, nil
}

// listBundles lists all bundles, or those of zones whose name contains the filter.
func (s *Server) listBundles(c echo.Context) ([]bundle.Metadata, error) {
	filter := c.QueryParam("filter")
	return s.matching(func(name string) bool { return strings.Contains(name, filter) })
}

// listZoneBundles lists the bundles of a zone. A zone without any has an empty list; the
// reference answers 500, since it finds no directory of that name.
func (s *Server) listZoneBundles(c echo.Context) ([]bundle.Metadata, error) {
	name, err := zoneName(c)
	if err != nil {
		return nil, err
	}
	return s.matching(func(of string) bool { return of == name })
}

func (s *Server) matching(match func(zone string) bool) ([]bundle.Metadata, error) {
	b, err := s.bundles()
	if err != nil {
		return nil, err
	}
	all, err := b.List()
	if err != nil {
		return nil, bundleProblem(err)
	}
	list := []bundle.Metadata{}
	for _, m := range all {
		if match(m.ID.Zone) {
			list = append(list, m)
		}
	}
	return list, nil
}

// readBundle sends a bundle from the disk, without keeping it in memory.
func (s *Server) readBundle(c echo.Context) error {
	b, id, err := s.oneBundle(c)
	if err != nil {
		return err
	}
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	default:
		return unavailable(errManyDownloads)
	}
	content, size, err := b.Read(id)
	if err != nil {
		return bundleProblem(err)
	}
	defer content.Close()
	c.Response().Header().Set(echo.HeaderContentLength, strconv.FormatInt(size, 10))
	// Once the answer has begun an error can only end the connection, which net/http does
	// with an answer that is shorter than announced.
	return c.Stream(http.StatusOK, "application/gzip", io.LimitReader(content, size))
}

func (s *Server) deleteBundle(c echo.Context) error {
	b, id, err := s.oneBundle(c)
	if err != nil {
		return err
	}
	ctx, end, err := s.begin(c)
	if err != nil {
		return err
	}
	defer end()
	if err := b.Delete(ctx, id); err != nil {
		return bundleProblem(err)
	}
	return c.NoContent(http.StatusNoContent)
}

// cleanUpBundles answers with what was deleted in each directory; nothing if the bundles
// were within the limit.
func (s *Server) cleanUpBundles(c echo.Context) (map[string]bundle.Count, error) {
	b, err := s.bundles()
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.begin(c)
	if err != nil {
		return nil, err
	}
	defer end()
	count, err := b.Cleanup(ctx)
	if err != nil {
		return nil, bundleProblem(err)
	}
	counts := map[string]bundle.Count{}
	if count.Bundles > 0 {
		counts[b.Dir()] = count
	}
	return counts, nil
}

// utilization is BundleUtilization on the wire.
type utilization struct {
	Quota     int64 `json:"dataset_quota"`
	Available int64 `json:"bytes_available"`
	Used      int64 `json:"bytes_used"`
}

func (s *Server) bundleUtilization(echo.Context) (map[string]utilization, error) {
	b, err := s.bundles()
	if err != nil {
		return nil, err
	}
	used, err := b.Used()
	if err != nil {
		return nil, bundleProblem(err)
	}
	return map[string]utilization{b.Dir(): {Quota: bundle.Quota, Available: b.Context().Available(), Used: used}}, nil
}

// span is a Duration on the wire.
type span struct {
	Secs  uint64 `json:"secs"`
	Nanos uint32 `json:"nanos"`
}

// duration returns nil for no span. One that is too long becomes the longest.
func (s *span) duration() *time.Duration {
	if s == nil {
		return nil
	}
	d := time.Duration(math.MaxInt64)
	if s.Secs < math.MaxInt32 {
		d = time.Duration(s.Secs)*time.Second + time.Duration(s.Nanos)
	}
	return &d
}

// cleanupContext is CleanupContext on the wire.
type cleanupContext struct {
	Period   span            `json:"period"`
	Limit    uint8           `json:"storage_limit"`
	Priority bundle.Priority `json:"priority"`
}

func (s *Server) cleanupContext(echo.Context) (answer cleanupContext, err error) {
	b, err := s.bundles()
	if err != nil {
		return answer, err
	}
	c := b.Context()
	period := span{uint64(c.Period / time.Second), uint32(c.Period % time.Second)}
	return cleanupContext{period, c.Limit, c.Priority}, nil
}

// cleanupUpdate is CleanupContextUpdate on the wire; what is null or missing stays.
type cleanupUpdate struct {
	Period   *span              `json:"period"`
	Limit    *uint8             `json:"storage_limit"`
	Priority []bundle.Dimension `json:"priority"`
}

func (s *Server) updateCleanupContext(c echo.Context) error {
	b, err := s.bundles()
	if err != nil {
		return err
	}
	sent, err := decode(s, c, wire.Body[cleanupUpdate]("zone_bundle_cleanup_context_update"))
	if err != nil {
		return err
	}
	if err := b.Update(bundle.Update{Period: sent.Period.duration(), Limit: sent.Limit, Priority: sent.Priority}); err != nil {
		return badRequest("%v", err)
	}
	return c.NoContent(http.StatusNoContent)
}

// oneBundle returns the bundle that a path names.
func (s *Server) oneBundle(c echo.Context) (b Bundles, id bundle.ID, err error) {
	if b, err = s.bundles(); err != nil {
		return nil, id, err
	}
	if id.Zone, err = zoneName(c); err != nil {
		return nil, id, err
	}
	id.Bundle, err = pathID(c, "bundle_id")
	return b, id, err
}

// zoneName parses a zone's name from the path. The names that are permitted cannot lead
// out of a directory.
func zoneName(c echo.Context) (string, error) {
	name := c.Param("zone_name")
	if zone.ValidName(name) != nil {
		return "", badRequest("bad parameter in URL path: zone_name: want a zone's name, got %s", show(name))
	}
	return name, nil
}

func bundleProblem(err error) error {
	switch {
	case errors.Is(err, bundle.ErrUnknown):
		return &problem{status: http.StatusNotFound, cause: err}
	case errors.Is(err, bundle.ErrUnavailable):
		return unavailable(err)
	}
	return err
}
