//! The admin cluster and its tenants as one [`Server`].

use std::net::{IpAddr, SocketAddr};

use lab_wire::{Answer, Interface, Listener, Millis, Random, Request, Server, StreamId};

use super::plane::{Plane, PlaneKey};
use super::{AdminCluster, GROUP};

/// Streams of a tenant are numbered from its own number, shifted by this.
const STREAM_SHIFT: u32 = 32;

/// First stream number of the n-th tenant; the admin cluster's own streams start at 1.
pub fn first_stream(tenant: u64) -> StreamId {
    (tenant << STREAM_SHIFT) + 1
}

impl AdminCluster {
    fn owner_of(&mut self, stream: StreamId) -> &mut dyn Server {
        let number = stream >> STREAM_SHIFT;
        match self.planes.values_mut().find(|plane| number != 0 && plane.number == number) {
            Some(plane) => plane.tenant.api_mut(),
            None => &mut self.api,
        }
    }

    fn plane_of(&mut self, endpoint: &str) -> Option<&mut Plane> {
        let (namespace, name) = endpoint.strip_prefix("tenant/")?.split_once('/')?;
        self.planes.get_mut(&(namespace.to_owned(), name.to_owned()))
    }
}

/// Where a tenant listens, while any of its pods is Ready.
fn listener((namespace, name): &PlaneKey, plane: &Plane, port: u16) -> Option<Listener> {
    let address = plane.address.filter(|address| address.is_loopback() && plane.pods.ready > 0)?;
    let serving = plane.keys.serving.as_ref()?;
    Some(Listener {
        endpoint: format!("tenant/{namespace}/{name}"),
        address: SocketAddr::new(IpAddr::V4(address), port),
        certificate: serving.certificate.clone(),
        key: serving.key.clone(),
        client_ca: Some(plane.keys.authority.certificate().to_owned()),
    })
}

impl Server for AdminCluster {
    fn handle(&mut self, request: &Request, now: Millis, random: &mut Random) -> Answer {
        if request.endpoint.is_empty() {
            return self.api.handle(request, now, random);
        }
        match self.plane_of(&request.endpoint) {
            Some(plane) if plane.pods.ready > 0 => plane.tenant.handle(request, now, random),
            _ => Answer::Drop,
        }
    }

    /// Kamaji publishes its kinds; the rest is Kubernetes.
    fn interface(&self, request: &Request) -> Option<Interface> {
        let group = request.path.strip_prefix("/apis/")?.strip_prefix(GROUP)?.strip_prefix('/')?;
        let (version, _) = group.split_once('/')?;
        request.endpoint.is_empty().then(|| Interface::new("kamaji", version))
    }

    fn tick(&mut self, now: Millis, random: &mut Random) {
        // Controllers and the API server write what the other reads.
        for _ in 0..8 {
            let before = self.api.store().revision();
            self.run_controller(now, random);
            self.api.tick(now, random);
            self.tick_tenants(now, random);
            if before == self.api.store().revision() && self.seen == before {
                break;
            }
        }
    }

    fn next_timer(&self) -> Option<Millis> {
        let pending = (self.seen != self.api.store().revision()).then_some(0);
        let tenants = self.planes.values().filter_map(|plane| plane.tenant.next_timer()).min();
        [pending, self.next_event(), self.api.next_timer(), tenants].into_iter().flatten().min()
    }

    fn listeners(&self) -> Vec<Listener> {
        self.planes.iter().filter_map(|(key, plane)| listener(key, plane, plane.port)).collect()
    }

    fn drain(&mut self, stream: StreamId) -> Option<Vec<u8>> {
        self.owner_of(stream).drain(stream)
    }

    fn close(&mut self, stream: StreamId) {
        self.owner_of(stream).close(stream);
    }
}
