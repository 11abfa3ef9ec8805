if HAVE_MPI
pkglib_LTLIBRARIES += plugins/transport_mpi.la
plugins_transport_mpi_la_SOURCES = plugins/transport/mpi/mpi.c
plugins_transport_mpi_la_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
plugins_transport_mpi_la_LIBADD = $(MPI_LIBS)
plugins_transport_mpi_la_LDFLAGS = -module -avoid-version -shared -export-symbols-regex '^heed_transport_v0$$'
endif
