package admin

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// document describes the API.
//
//go:embed openapi.json
var document []byte

// Document returns the API's OpenAPI document. It must not be changed.
func Document() []byte { return document }

func serveDocument(c echo.Context) error { return c.JSONBlob(http.StatusOK, document) }
