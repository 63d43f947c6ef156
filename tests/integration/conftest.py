"""What integration tests share."""

from tests.integration.serve_scene import serve  # noqa: F401 - a fixture
